use std::time::Duration;

use controlplane_raft::ServerId;

use crate::Random;
use crate::host::End;
use crate::run::Kinds;

/// Something that goes wrong, or is done, in a run.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A server ends in some way, and comes back after a while.
    End(ServerId, End, Duration),
    /// All of them lose power at once.
    Blackout(Duration),
    /// A disk operation of a server's, so many from now, fails in this way.
    Disk(ServerId, u64, controlplane_wal::Fault),
    /// A disk is full for a while.
    Full(ServerId, Duration),
    /// These reach nobody else for a while, or are not reached by them, or both.
    Partition(Vec<ServerId>, Direction, Duration),
    /// A server's messages wait for a while, as those of a stopped process do.
    Hold(ServerId, Duration),
    /// The network loses and delays for a while.
    Bad(u64, Duration, Duration),
    /// A clock is set.
    Clock(ServerId, i64),
    /// A server is removed for good and another takes its place, or none.
    Replace(ServerId),
    /// A new server joins.
    Join,
    /// A disk takes up to so much longer to sync, for a while.
    Slow(ServerId, Duration, Duration),
    /// A bit of what a server has on its disk flips; then it ends in some way, or goes on, and is looked after later.
    Rot(ServerId, Option<End>, Duration),
}

/// Which messages get lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Out,
    In,
    Both,
}

/// Draws what goes wrong next among `servers`.
pub(crate) fn draw(random: &mut Random, servers: &[ServerId], kinds: Kinds) -> Option<Fault> {
    let one = *random.pick(servers)?;
    let time = |random: &mut Random, most: u64| Duration::from_millis(random.between(20, most));
    let operations = random.below(40);
    let choices = match kinds {
        Kinds::First => 24,
        Kinds::All => 28,
    };
    Some(match random.below(choices) {
        0..3 => Fault::End(one, End::PowerCut, time(random, 4000)),
        3..5 => Fault::End(one, End::Killed, time(random, 4000)),
        5 => Fault::End(one, End::Stopped, time(random, 2000)),
        6 => Fault::Blackout(time(random, 2000)),
        7..10 => Fault::Disk(one, operations, controlplane_wal::Fault::Crash),
        10 => Fault::Disk(one, operations, controlplane_wal::Fault::Sync),
        11 => Fault::Disk(one, operations, controlplane_wal::Fault::Write),
        12 => Fault::Full(one, time(random, 3000)),
        13..17 => {
            let some = servers.iter().copied().filter(|_| random.chance(40)).collect();
            let direction = random.pick(&[Direction::Out, Direction::In, Direction::Both, Direction::Both]);
            let direction = direction.copied().unwrap_or(Direction::Both);
            Fault::Partition(some, direction, time(random, 6000))
        }
        17..19 => Fault::Hold(one, time(random, 4000)),
        19 => {
            let slowest = time(random, 400);
            Fault::Bad(random.below(30), slowest, time(random, 4000))
        }
        20 => Fault::Clock(one, i64::try_from(random.below(7200)).unwrap_or(0) - 3600),
        21..23 => Fault::Replace(one),
        23 => Fault::Join,
        24..26 => {
            let longer = time(random, 3000);
            Fault::Slow(one, longer, time(random, 5000))
        }
        _ => {
            let how = random.pick(&[
                None,
                None,
                Some(End::Killed),
                Some(End::PowerCut),
                Some(End::Stopped),
            ]);
            Fault::Rot(one, how.copied().flatten(), time(random, 5000))
        }
    })
}
