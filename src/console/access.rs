/// What a person is trusted with at the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees what is of no one client alone.
    Viewer,
    /// Looks up clients, marks findings, and cuts clients off.
    Analyst,
    /// All of it; cuts off everybody.
    Admin,
}

/// What a person would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// See counts, hosts, findings, programs and the policy.
    See,
    /// See what one client does: the client's page, the live tail, answers by SQL.
    LookUp,
    /// Say what a finding is.
    Mark,
    /// Cut a client off, or let it pass again.
    Isolate,
    /// Let nothing pass but what is essential, or end that.
    LockDown,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Analyst, Self::Admin];

    /// As the file of users and the command line have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Analyst => "analyst",
            Role::Admin => "admin",
        }
    }

    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// For people, in English and in Japanese.
    pub fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Role::Viewer => ("viewer", "閲覧者"),
            Role::Analyst => ("analyst", "分析者"),
            Role::Admin => ("administrator", "管理者"),
        }
    }

    pub fn may(self, act: Act) -> bool {
        let least = match act {
            Act::See => Role::Viewer,
            Act::LookUp | Act::Mark | Act::Isolate => Role::Analyst,
            Act::LockDown => Role::Admin,
        };
        self >= least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_this_and_no_more() {
        let all = [Act::See, Act::LookUp, Act::Mark, Act::Isolate, Act::LockDown];
        for (role, may) in [
            (Role::Viewer, [true, false, false, false, false]),
            (Role::Analyst, [true, true, true, true, false]),
            (Role::Admin, [true, true, true, true, true]),
        ] {
            assert_eq!(all.map(|act| role.may(act)), may, "{role:?}");
            assert_eq!(Role::named(role.as_str()), Some(role));
        }
        assert_eq!(Role::named("Admin"), None);
    }
}
