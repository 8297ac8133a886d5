//! What runs on the PCs of a network and calls home by itself, harmless: what nearly all have, and what few have.

use crate::random::Random;
use crate::trace::HOUR;

/// By what a program is known: its TLS key, and what it calls itself.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub key: String,
    pub agent: &'static str,
    pub claim: Claim,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It claims to be no browser.
    None,
    /// It is a browser, and has shown it.
    Browser,
    /// It claims to be a browser that it is not.
    Mimic,
}

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 \
                      Safari/537.36";
const FIREFOX: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0";

/// Programs that all know, by their places in [`programs`].
pub(crate) const CHROMIUM: u16 = 0;
pub(crate) const GECKO: u16 = 1;
/// The TLS of the system, which much software uses.
pub(crate) const SYSTEM: u16 = 2;
/// The same, under a browser's name.
pub(crate) const SYSTEM_AS_BROWSER: u16 = 3;
/// Of runtimes that several tools are made with.
pub(crate) const JAVA: u16 = 4;
pub(crate) const NODE: u16 = 5;
pub(crate) const PYTHON: u16 = 6;
pub(crate) const GO: u16 = 7;

pub(crate) fn programs() -> Vec<Program> {
    let program = |key: &str, agent, claim| Program { key: key.to_owned(), agent, claim };
    vec![
        program("chromium", CHROME, Claim::Browser),
        program("gecko", FIREFOX, Claim::Browser),
        program("system", "Microsoft-CryptoAPI/10.0", Claim::None),
        program("system", CHROME, Claim::Mimic),
        program("java", "Java/21.0.4", Claim::None),
        program("node", "node", Claim::None),
        program("python", "python-requests/2.32.3", Claim::None),
        program("go", "Go-http-client/2.0", Claim::None),
    ]
}

/// Adds a program that nobody has seen before.
pub(crate) fn own_program(programs: &mut Vec<Program>) -> u16 {
    let number = programs.len() as u16;
    programs.push(Program { key: format!("own{number}"), agent: "Client/3.1", claim: Claim::None });
    number
}

/// When something calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// As long as its PC is on.
    On,
    /// While its person is at work.
    AtWork,
}

/// What a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum What {
    /// A site that a person looks at, with what its pages ask for by themselves.
    Site,
    /// What the system, the office and the security software of nearly all PCs do.
    Everywhere,
    /// A tool of some departments: on 3 to 30 PCs.
    Department,
    /// Weather, news and clocks: each on 1 to 10 PCs.
    Widget,
    /// What keeps a person's own files, notes, music and games in step: on one or two PCs.
    Sync,
    /// Of a browser: on 1 to 5 PCs.
    Extension,
    /// A page about printers, storage or sensors that stays open in a browser: on one or two PCs.
    Dashboard,
    /// What a person wrote to ask something again and again: on one PC.
    Script,
    /// A machine's service without a period: on one PC.
    Steady,
    /// The implant of this number.
    Implant(u8),
}

/// Software that nearly all have.
pub(crate) struct Common {
    pub host: &'static str,
    /// Of the PCs so many have it.
    pub share: f64,
    /// In seconds.
    pub period: f64,
    pub jitter: f64,
    pub when: When,
    /// `None`: one of its own.
    pub program: Option<u16>,
}

const fn common(host: &'static str, share: f64, minutes: f64, jitter: f64, when: When, program: Option<u16>) -> Common {
    Common { host, share, period: minutes * 60.0, jitter, when, program }
}

pub(crate) const COMMON: &[Common] = &[
    common("updates.system.example", 1.0, 270.0, 0.2, When::On, Some(SYSTEM)),
    common("telemetry.system.example", 1.0, 25.0, 0.3, When::On, Some(SYSTEM)),
    common("online.system.example", 1.0, 60.0, 0.0, When::On, Some(SYSTEM)),
    common("push.system.example", 0.9, 28.0, 0.02, When::On, Some(SYSTEM)),
    common("cloud.antivirus.example", 0.95, 10.0, 0.1, When::On, None),
    common("agent.inventory.example", 1.0, 15.0, 0.5, When::On, None),
    common("mail.office.example", 0.8, 5.0, 0.0, When::On, Some(SYSTEM)),
    common("drive.office.example", 0.5, 10.0, 0.1, When::On, None),
    common("gateway.chat.example", 0.6, 2.0, 0.0, When::AtWork, Some(NODE)),
    common("update.browser.example", 0.9, 30.0, 0.05, When::AtWork, Some(CHROMIUM)),
    common("update.runtime.example", 0.12, 360.0, 0.1, When::On, Some(JAVA)),
    common("packages.runtime.example", 0.04, 240.0, 0.3, When::AtWork, Some(PYTHON)),
    common("metrics.containers.example", 0.05, 10.0, 0.1, When::On, Some(GO)),
];

/// Software that few have: of one kind so many among 1,000 PCs, each on some of them.
pub(crate) struct Seldom {
    pub what: What,
    pub count: usize,
    pub pcs: (usize, usize),
    /// In minutes, at even chances.
    pub minutes: &'static [f64],
    pub jitters: &'static [f64],
    pub when: When,
    /// Where it is of none of them, it has a program of its own.
    pub programs: &'static [Option<u16>],
}

pub(crate) const SELDOM: &[Seldom] = &[
    Seldom {
        what: What::Department,
        count: 40,
        pcs: (3, 30),
        minutes: &[0.5, 1.0, 5.0, 10.0, 30.0, 60.0],
        jitters: &[0.0, 0.05, 0.2],
        when: When::On,
        programs: &[Some(SYSTEM), Some(JAVA), Some(NODE), None],
    },
    Seldom {
        what: What::Widget,
        count: 40,
        pcs: (1, 10),
        minutes: &[10.0, 15.0, 30.0, 60.0],
        jitters: &[0.0, 0.1],
        when: When::On,
        programs: &[Some(SYSTEM), Some(NODE), Some(CHROMIUM), None],
    },
    Seldom {
        what: What::Sync,
        count: 140,
        pcs: (1, 2),
        minutes: &[0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 240.0],
        jitters: &[0.0, 0.05, 0.1, 0.3],
        when: When::On,
        programs: &[Some(SYSTEM), Some(NODE), Some(GO), None],
    },
    Seldom {
        what: What::Sync,
        count: 60,
        pcs: (1, 2),
        minutes: &[0.5, 1.0, 2.0, 5.0, 15.0, 30.0, 240.0],
        jitters: &[0.0, 0.05, 0.1, 0.3],
        when: When::AtWork,
        programs: &[Some(SYSTEM), Some(NODE), Some(GO), None],
    },
    Seldom {
        what: What::Extension,
        count: 150,
        pcs: (1, 5),
        minutes: &[5.0, 15.0, 30.0, 60.0, 240.0],
        jitters: &[0.0, 0.1],
        when: When::AtWork,
        programs: &[Some(CHROMIUM)],
    },
    Seldom {
        what: What::Dashboard,
        count: 100,
        pcs: (1, 2),
        minutes: &[0.1, 0.25, 0.5, 1.0],
        jitters: &[0.0, 0.02],
        when: When::AtWork,
        programs: &[Some(CHROMIUM), Some(GECKO)],
    },
    Seldom {
        what: What::Script,
        count: 25,
        pcs: (1, 1),
        minutes: &[1.0, 5.0, 10.0, 60.0],
        jitters: &[0.0, 0.01],
        when: When::On,
        programs: &[Some(PYTHON), Some(GO), Some(NODE), None],
    },
    Seldom {
        what: What::Script,
        count: 15,
        pcs: (1, 1),
        minutes: &[1.0, 5.0, 10.0, 60.0],
        jitters: &[0.0, 0.01],
        when: When::AtWork,
        programs: &[Some(PYTHON), Some(GO), Some(NODE), None],
    },
];

/// Of what few have, so much is installed while the network is watched; the rest was there before.
pub(crate) const INSTALLED_LATER: f64 = 0.1;

/// From which time on something that few have is there.
pub(crate) fn since(random: &mut Random, days: u32) -> f64 {
    if random.happens(INSTALLED_LATER) { random.between(0.0, f64::from(days) * 24.0 * HOUR) } else { 0.0 }
}

impl What {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Everywhere => "common software",
            Self::Department => "department's tool",
            Self::Widget => "widget",
            Self::Sync => "sync client",
            Self::Extension => "browser extension",
            Self::Dashboard => "open dashboard",
            Self::Script => "own script",
            Self::Steady => "service without period",
            Self::Implant(_) => "implant",
        }
    }
}
