use std::net::SocketAddr;

/// The machine that speaks to the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub address: SocketAddr,
    /// The authenticated proxy user, where there is one.
    pub user: Option<User>,
}

/// A person or account that has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: Box<str>,
    /// The groups it is in, as far as whoever authenticates it knows them.
    pub groups: Box<[Box<str>]>,
}

/// What the program on a client says it is, as the head carried it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Program<'a> {
    /// The User-Agent field, raw bytes of an attacker's choice.
    pub user_agent: Option<&'a [u8]>,
}

/// A fact that comes later than the head, or never.
#[derive(Debug, Clone, Copy)]
pub enum Stage<T> {
    /// It is known.
    Known(T),
    /// It could still be learnt before anything is dialled.
    NotYet,
    /// This exchange will never show it.
    Never,
}

impl<T> Stage<T> {
    /// The fact, if known by now.
    pub fn known(self) -> Option<T> {
        match self {
            Stage::Known(fact) => Some(fact),
            Stage::NotYet | Stage::Never => None,
        }
    }
}
