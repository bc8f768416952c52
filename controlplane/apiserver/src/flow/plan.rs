//! Which requests run: pure, total, and the same for the same sequence of arrivals and ends.
//!
//! A level may always use its own seats. Beyond them it borrows what others lend and do not use now; who lent gets a seat
//! back as soon as a request that borrowed ends, and may start on its own seats meanwhile, so that the total is exceeded by
//! what is lent at most.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::config::{Config, Limited, Response};
use super::level::Level;

/// A request that runs or waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// A request that has come.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) level: &'a Arc<str>,
    /// Hash of its flow.
    pub(super) flow: u64,
    pub(super) seats: u32,
}

/// What becomes of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Run(Ticket),
    Wait(Ticket),
    Reject,
}

/// What runs and waits in one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Occupancy {
    /// The level's name.
    pub(crate) level: Arc<str>,
    /// Requests that run.
    pub(crate) running: usize,
    /// Requests that wait.
    pub(crate) waiting: usize,
    /// Seats that are taken.
    pub(crate) used: u32,
    /// Seats of its own.
    pub(crate) seats: u32,
}

#[derive(Debug)]
struct Place {
    level: Arc<str>,
    queue: Option<usize>,
    seats: u32,
    runs: bool,
}

/// The state of all limited levels.
#[derive(Debug)]
pub(super) struct Planner {
    total: u32,
    levels: BTreeMap<Arc<str>, Level>,
    places: HashMap<Ticket, Place>,
    next: u64,
}

impl Planner {
    pub(super) fn new(config: &Config) -> Self {
        let levels = config.limited();
        Self {
            total: config.total_seats,
            levels: levels
                .map(|(name, limits)| (Arc::clone(name), Level::new(limits.clone())))
                .collect(),
            places: HashMap::new(),
            next: 0,
        }
    }

    /// Goes by `config`; answers with the requests that may start now.
    pub(super) fn configure(&mut self, config: &Config, now: Duration) -> Vec<Ticket> {
        self.total = config.total_seats;
        let wanted: BTreeMap<&Arc<str>, &Limited> = config.limited().collect();
        for (name, limits) in &wanted {
            let Some(level) = self.levels.get_mut(*name) else {
                self.levels
                    .insert(Arc::clone(name), Level::new((*limits).clone()));
                continue;
            };
            for (ticket, queue) in level.configure((*limits).clone()) {
                if let Some(place) = self.places.get_mut(&ticket) {
                    place.queue = Some(queue);
                }
            }
        }
        // A level that is gone goes when it is empty; nothing new is sent there.
        self.levels
            .retain(|name, level| wanted.contains_key(name) || !level.is_idle());
        self.start_waiting(now)
    }

    /// Decides about a request; of a level that is not known, it runs.
    pub(super) fn arrive(&mut self, arrival: &Arrival<'_>, now: Duration) -> Decision {
        let Arrival {
            level: name,
            flow,
            seats,
        } = *arrival;
        let Some(level) = self.levels.get_mut(name) else {
            return Decision::Run(self.ticket(name, None, seats, true));
        };
        level.advance(now);
        let queue = level.queue_for(flow);
        let idle = level.waiting == 0;
        if queue.is_none() && level.limits.response != Response::Reject {
            return Decision::Reject;
        }
        let runs = idle && self.has_seats(name, seats);
        if !runs && queue.is_none() {
            return Decision::Reject;
        }
        let ticket = self.ticket(name, queue, seats, runs);
        let Some(level) = self.levels.get_mut(name) else {
            return Decision::Run(ticket);
        };
        match queue {
            Some(queue) => {
                level.wait(queue, ticket, seats);
                if runs {
                    level.start_next(queue);
                }
            }
            None => level.start(seats),
        }
        match runs {
            true => Decision::Run(ticket),
            false => Decision::Wait(ticket),
        }
    }

    fn ticket(&mut self, level: &Arc<str>, queue: Option<usize>, seats: u32, runs: bool) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let level = Arc::clone(level);
        self.places.insert(
            ticket,
            Place {
                level,
                queue,
                seats,
                runs,
            },
        );
        ticket
    }

    /// A request has ended after running for `ran`, or has given up waiting; answers with those that may start now.
    pub(super) fn leave(&mut self, ticket: Ticket, ran: Duration, now: Duration) -> Vec<Ticket> {
        let Some(place) = self.places.remove(&ticket) else {
            return Vec::new();
        };
        let Some(level) = self.levels.get_mut(&place.level) else {
            return Vec::new();
        };
        level.advance(now);
        match place.runs {
            true => level.finish(place.queue, place.seats, ran),
            false => level.give_up(place.queue, ticket),
        }
        self.start_waiting(now)
    }

    /// Starts what can be started, in each level.
    fn start_waiting(&mut self, now: Duration) -> Vec<Ticket> {
        let mut started = Vec::new();
        if self.levels.values().all(|level| level.waiting == 0) {
            return started;
        }
        let names: Vec<Arc<str>> = self.levels.keys().cloned().collect();
        for name in names {
            if let Some(level) = self.levels.get_mut(&name) {
                level.advance(now);
            }
            while let Some((queue, ticket, seats)) = self.levels.get(&name).and_then(Level::next)
                && self.has_seats(&name, seats)
            {
                if let Some(level) = self.levels.get_mut(&name) {
                    level.start_next(queue);
                }
                if let Some(place) = self.places.get_mut(&ticket) {
                    place.runs = true;
                }
                started.push(ticket);
            }
        }
        started
    }

    /// Whether `seats` more may be used in a level. What is wider than the level runs alone.
    fn has_seats(&self, name: &Arc<str>, seats: u32) -> bool {
        let Some(level) = self.levels.get(name) else {
            return true;
        };
        let wanted = level.used.saturating_add(seats);
        if wanted <= level.limits.seats || level.used == 0 {
            return true;
        }
        let own_limit = level
            .limits
            .borrowed
            .map(|borrowed| level.limits.seats.saturating_add(borrowed));
        if own_limit.is_some_and(|limit| wanted > limit) {
            return false;
        }
        let others = self.levels.iter().filter(|(other, _)| *other != name);
        let taken: u32 = others.map(|(_, level)| level.used.max(level.limits.kept())).sum();
        wanted.saturating_add(taken) <= self.total
    }

    /// What runs and waits.
    pub(super) fn occupancy(&self) -> Vec<Occupancy> {
        let one = |(name, level): (&Arc<str>, &Level)| Occupancy {
            level: Arc::clone(name),
            running: level.running,
            waiting: level.waiting,
            used: level.used,
            seats: level.limits.seats,
        };
        self.levels.iter().map(one).collect()
    }
}
