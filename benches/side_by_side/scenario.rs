//! The scenarios: who sends what to which server, and what mailchute is to reach there.

use std::time::Duration;

use crate::contender::Contender::{self, Curl, Equipped, Lettre, Mailchute, Msmtp, True};
use crate::server::Manner;

/// One table of the benchmark.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) contenders: &'static [Contender],
    pub(crate) manner: Manner,
    /// Zero for the bare loopback.
    pub(crate) round_trip: Duration,
    /// Octets of the message.
    pub(crate) size: usize,
    pub(crate) recipients: usize,
    /// Copies of the program started together.
    pub(crate) at_once: usize,
    /// Count instructions under callgrind instead of time.
    pub(crate) instructions: bool,
    /// Measured runs of each contender: with `--quick`, and without.
    pub(crate) rounds: (usize, usize),
    pub(crate) targets: &'static [Target],
}

/// What mailchute is to stay at or below.
pub(crate) enum Target {
    /// Wall clock relative to another's.
    Wall(Contender, f64),
    /// CPU seconds relative to another's.
    Cpu(Contender, f64),
    /// Peak memory in megabytes.
    Peak(f64),
    /// Millions of instructions.
    Instructions(f64),
    /// Another's instructions relative to mailchute's.
    Equipment(Contender, f64),
    RoundTrips(f64),
    /// Octets on the wire per octet of message.
    Wire(f64),
}

const NORMAL: Manner = Manner { starttls: false, chunking: true, prompt: false };
const DISTANT: Duration = Duration::from_millis(50);
const ALL: &[Contender] = &[Mailchute, Msmtp, Lettre, True];
const SENDERS: &[Contender] = &[Mailchute, Msmtp, Lettre];

const SMALL: Scenario = Scenario {
    name: "small",
    title: "2 KB, implicit TLS + AUTH, loopback",
    contenders: ALL,
    manner: NORMAL,
    round_trip: Duration::ZERO,
    size: 2048,
    recipients: 1,
    at_once: 1,
    instructions: false,
    rounds: (7, 41),
    targets: &[Target::Wall(Msmtp, 0.08), Target::Cpu(Msmtp, 0.20), Target::Peak(5.0)],
};

const DISTANT_SMALL: Scenario =
    Scenario { contenders: SENDERS, round_trip: DISTANT, rounds: (3, 9), targets: &[Target::RoundTrips(6.0)], ..SMALL };

/// Every scenario, in the order of the report.
pub(crate) const SCENARIOS: &[Scenario] = &[
    SMALL,
    Scenario {
        name: "prompt",
        title: "2 KB, implicit TLS + AUTH, loopback, a server that acknowledges at once",
        manner: Manner { prompt: true, ..NORMAL },
        targets: &[Target::Wall(Msmtp, 0.20), Target::Cpu(Msmtp, 0.20)],
        ..SMALL
    },
    Scenario {
        name: "instructions",
        title: "2 KB, implicit TLS + AUTH, instructions, children included",
        instructions: true,
        rounds: (1, 3),
        targets: &[Target::Instructions(6.0)],
        ..SMALL
    },
    Scenario {
        name: "equipped",
        title: "2 KB, implicit TLS + AUTH, instructions, with routes, backup relay and spool configured",
        contenders: &[Mailchute, Equipped],
        instructions: true,
        rounds: (1, 3),
        targets: &[Target::Equipment(Equipped, 1.03)],
        ..SMALL
    },
    Scenario { name: "distance", title: "2 KB, 50 ms away, PIPELINING and CHUNKING", ..DISTANT_SMALL },
    Scenario {
        name: "distance-pipelining",
        title: "2 KB, 50 ms away, PIPELINING alone",
        manner: Manner { chunking: false, ..NORMAL },
        targets: &[Target::RoundTrips(7.0)],
        ..DISTANT_SMALL
    },
    Scenario {
        name: "distance-starttls",
        title: "2 KB, 50 ms away, STARTTLS, PIPELINING and CHUNKING",
        manner: Manner { starttls: true, ..NORMAL },
        targets: &[Target::RoundTrips(8.0)],
        ..DISTANT_SMALL
    },
    Scenario {
        name: "recipients",
        title: "2 KB to 100 recipients, 50 ms away",
        recipients: 100,
        rounds: (1, 5),
        targets: &[Target::RoundTrips(7.0)],
        ..DISTANT_SMALL
    },
    Scenario {
        name: "large",
        title: "25 MB, implicit TLS + AUTH, loopback",
        contenders: &[Mailchute, Msmtp, Lettre, Curl],
        size: 25 << 20,
        rounds: (3, 11),
        targets: &[Target::Wall(Msmtp, 0.12), Target::Wall(Curl, 0.7), Target::Peak(10.0), Target::Wire(1.01)],
        ..SMALL
    },
    Scenario {
        name: "crowd",
        title: "2 KB, 50 at once",
        at_once: 50,
        rounds: (2, 9),
        targets: &[Target::Wall(Msmtp, 0.15)],
        ..SMALL
    },
];
