use std::collections::HashMap;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;

use crate::facts::Moment;

/// Sessions at the same time. One more ends the one that was used longest ago.
const SESSIONS_MAX: usize = 1000;
/// A session ends when it is not used for so long, and after so long however it is used.
pub(super) const IDLE: Duration = Duration::from_secs(30 * 60);
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// What a browser shows to be let in: 256 random bits. Of it the console keeps a hash alone.
pub(super) struct SessionId([u8; 32]);

/// Who is logged in, and until when.
#[derive(Debug, Clone)]
struct Session {
    user: Box<str>,
    /// Of the line of the file of users by which they came in.
    mark: [u8; 32],
    begun: Moment,
    used: Moment,
}

/// Everybody who is logged in. How somebody proved who they are is no matter of it: a log-in by OpenID Connect, which there is
/// none of yet, would end in the same [`Sessions::open`], with the name and role that the identity provider vouches for in place
/// of a line of the file of users, and a mark of those.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<[u8; 32], Session>);

impl SessionId {
    pub(super) fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// As a cookie has it; `None` for what is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    pub(super) fn text(&self) -> String {
        BASE64URL_NOPAD.encode(&self.0)
    }

    fn key(&self) -> [u8; 32] {
        *blake3::hash(&self.0).as_bytes()
    }

    /// What each form of this session carries, which no other site can know.
    pub(super) fn form_token(&self, secret: &[u8; 32], purpose: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(secret);
        hasher.update(purpose.as_bytes()).update(&self.0);
        BASE64URL_NOPAD.encode(hasher.finalize().as_bytes())
    }
}

impl Sessions {
    /// Lets a user in by an id that nobody had before.
    pub(super) fn open(&mut self, id: &SessionId, user: &str, mark: [u8; 32], now: Moment) {
        self.0.retain(|_, session| session.holds(now));
        if self.0.len() >= SESSIONS_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| *key)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(id.key(), Session { user: user.into(), mark, begun: now, used: now });
    }

    /// Who this is, and by which line they came in; it counts as use.
    pub(super) fn of(&mut self, id: &SessionId, now: Moment) -> Option<(Box<str>, [u8; 32])> {
        let key = id.key();
        let session = self.0.get_mut(&key)?;
        if !session.holds(now) {
            self.0.remove(&key);
            return None;
        }
        session.used = now;
        Some((session.user.clone(), session.mark))
    }

    /// The same, and no use of it: looking on does not keep a session.
    pub(super) fn look(&self, id: &SessionId, now: Moment) -> Option<(Box<str>, [u8; 32])> {
        let session = self.0.get(&id.key()).filter(|session| session.holds(now))?;
        Some((session.user.clone(), session.mark))
    }

    pub(super) fn end(&mut self, id: &SessionId) {
        self.0.remove(&id.key());
    }
}

impl Session {
    fn holds(&self, now: Moment) -> bool {
        now - self.used < IDLE && now - self.begun < LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> SessionId {
        let mut random = [0; 32];
        random[..4].copy_from_slice(&number.to_le_bytes());
        SessionId::new(random)
    }

    fn at(span: Duration) -> Moment {
        Moment(1) + span
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_however_it_is_used() {
        let mut sessions = Sessions::default();
        sessions.open(&id(1), "sato", [0; 32], at(Duration::ZERO));
        let minute = Duration::from_secs(60);
        assert!(sessions.of(&id(1), at(29 * minute)).is_some());
        assert!(sessions.of(&id(2), at(29 * minute)).is_none(), "an id that was never given");
        assert!(sessions.look(&id(1), at(59 * minute)).is_none(), "idle");
        assert!(sessions.of(&id(1), at(59 * minute)).is_none());
        sessions.open(&id(3), "sato", [0; 32], at(Duration::ZERO));
        for minutes in 1..12 * 60 {
            assert!(sessions.of(&id(3), at(minutes * minute)).is_some(), "{minutes}");
        }
        assert!(sessions.of(&id(3), at(12 * 60 * minute)).is_none(), "absolute");
    }

    #[test]
    fn at_the_bound_the_one_that_was_used_longest_ago_goes() {
        let mut sessions = Sessions::default();
        for number in 0..1000 {
            sessions.open(&id(number), "sato", [0; 32], Moment(u64::from(number) + 1));
        }
        assert!(sessions.of(&id(0), Moment(2000)).is_some());
        sessions.open(&id(1000), "sato", [0; 32], Moment(3000));
        assert_eq!(sessions.0.len(), 1000);
        let has = |sessions: &Sessions, number| sessions.look(&id(number), Moment(3000)).is_some();
        assert!(has(&sessions, 0) && !has(&sessions, 1));
        sessions.end(&id(0));
        assert!(!has(&sessions, 0));
    }

    #[test]
    fn an_id_is_read_as_it_was_written_and_its_form_token_is_its_own() {
        let (one, other) = (id(1), id(2));
        assert_eq!(SessionId::read(&one.text()).map(|read| read.key()), Some(one.key()));
        for bad in ["", "AAAA", &format!("{}A", one.text()), &one.text().replace('A', "=")] {
            assert!(SessionId::read(bad).is_none(), "{bad}");
        }
        let token = one.form_token(&[1; 32], "form");
        assert_eq!(token, one.form_token(&[1; 32], "form"));
        for foreign in
            [other.form_token(&[1; 32], "form"), one.form_token(&[2; 32], "form"), one.form_token(&[1; 32], "x")]
        {
            assert_ne!(token, foreign);
        }
    }
}
