//! The queues of one priority level, served fairly: each queue has a virtual time at which its next request would start
//! if all queues were served at once, and the one that would end first goes first (start-time fair queuing, as in the
//! Kubernetes enhancement proposal 1040).

use std::collections::VecDeque;
use std::time::Duration;

use super::config::{Limited, Response};
use super::deal::deal;
use super::plan::Ticket;

/// How long a request is thought to run until it is known; upstream's guess in its virtual world.
const GUESS: f64 = 0.003;

/// One priority level that is limited.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) limits: Limited,
    queues: Vec<Queue>,
    /// Seats taken by running requests.
    pub(super) used: u32,
    /// Requests that wait.
    pub(super) waiting: usize,
    /// Requests that run.
    pub(super) running: usize,
    /// Virtual time, in seat seconds for each queue.
    virtual_now: f64,
    advanced: Duration,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Ticket, u32)>,
    used: u32,
    /// Virtual time at which the next request starts.
    next_start: f64,
}

impl Queue {
    fn is_active(&self) -> bool {
        self.used > 0 || !self.waiting.is_empty()
    }
}

impl Level {
    pub(super) fn new(limits: Limited) -> Self {
        let count = queues(&limits);
        Self {
            limits,
            queues: std::iter::repeat_with(Queue::default).take(count).collect(),
            used: 0,
            waiting: 0,
            running: 0,
            virtual_now: 0.0,
            advanced: Duration::ZERO,
        }
    }

    /// Goes by other limits; what waits is dealt to the queues that there are then.
    pub(super) fn configure(&mut self, limits: Limited) -> Vec<(Ticket, usize)> {
        let count = queues(&limits);
        self.limits = limits;
        if count == self.queues.len() {
            return Vec::new();
        }
        let old = std::mem::replace(
            &mut self.queues,
            std::iter::repeat_with(Queue::default).take(count).collect(),
        );
        let mut moved = Vec::new();
        for (index, queue) in old.into_iter().enumerate() {
            let place = index % count;
            if let Some(new) = self.queues.get_mut(place) {
                moved.extend(queue.waiting.iter().map(|(ticket, _)| (*ticket, place)));
                new.waiting.extend(queue.waiting);
                new.next_start = new.next_start.max(queue.next_start);
            }
        }
        moved
    }

    /// The shortest queue of the flow's hand; none where it is full, or nothing may wait here.
    pub(super) fn queue_for(&self, flow: u64) -> Option<usize> {
        let Response::Queue { hand, length, .. } = self.limits.response else {
            return None;
        };
        let load = |index: usize| {
            let queue = self.queues.get(index);
            queue.map_or(u32::MAX, |queue| {
                let waiting: u32 = queue.waiting.iter().map(|(_, seats)| seats).sum();
                waiting.saturating_add(queue.used)
            })
        };
        let shortest = deal(flow, self.queues.len(), hand)
            .into_iter()
            .min_by_key(|index| load(*index))?;
        let full = self
            .queues
            .get(shortest)
            .is_none_or(|queue| queue.waiting.len() >= length);
        (!full).then_some(shortest)
    }

    /// Lets a request wait in its queue.
    pub(super) fn wait(&mut self, queue: usize, ticket: Ticket, seats: u32) {
        let now = self.virtual_now;
        if let Some(queue) = self.queues.get_mut(queue) {
            if !queue.is_active() {
                // Who was away saves nothing up.
                queue.next_start = now;
            }
            queue.waiting.push_back((ticket, seats));
            self.waiting += 1;
        }
    }

    /// The request that goes next, were there seats for it.
    pub(super) fn next(&self) -> Option<(usize, Ticket, u32)> {
        if self.waiting == 0 {
            return None;
        }
        let heads = self.queues.iter().enumerate().filter_map(|(index, queue)| {
            let (ticket, seats) = queue.waiting.front()?;
            let end = queue.next_start + GUESS * f64::from(*seats);
            Some((end, (index, *ticket, *seats)))
        });
        heads
            .min_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, head)| head)
    }

    /// Takes the first request out of its queue to run.
    pub(super) fn start_next(&mut self, queue: usize) {
        if let Some(queue) = self.queues.get_mut(queue)
            && let Some((_, seats)) = queue.waiting.pop_front()
        {
            self.waiting -= 1;
            queue.used += seats;
            queue.next_start += GUESS * f64::from(seats);
            self.used += seats;
            self.running += 1;
        }
    }

    /// Runs a request that never waited, of a level without queues.
    pub(super) fn start(&mut self, seats: u32) {
        self.used += seats;
        self.running += 1;
    }

    /// A running request has ended; its queue pays for what it took rather than for the guess.
    pub(super) fn finish(&mut self, queue: Option<usize>, seats: u32, ran: Duration) {
        self.used = self.used.saturating_sub(seats);
        self.running = self.running.saturating_sub(1);
        if let Some(queue) = queue.and_then(|index| self.queues.get_mut(index)) {
            queue.used = queue.used.saturating_sub(seats);
            queue.next_start += (ran.as_secs_f64() - GUESS) * f64::from(seats);
        }
    }

    /// A request has given up waiting.
    pub(super) fn give_up(&mut self, queue: Option<usize>, ticket: Ticket) {
        let Some(queue) = queue.and_then(|index| self.queues.get_mut(index)) else {
            return;
        };
        let before = queue.waiting.len();
        queue.waiting.retain(|(waiting, _)| *waiting != ticket);
        self.waiting -= before - queue.waiting.len();
    }

    /// Moves virtual time on: it runs as fast as each active queue is served.
    pub(super) fn advance(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.advanced).as_secs_f64();
        self.advanced = now;
        if self.used == 0 {
            return;
        }
        let active = self.queues.iter().filter(|queue| queue.is_active()).count();
        let active = u32::try_from(active).unwrap_or(u32::MAX).max(1);
        let served = self.used.min(self.limits.seats.max(1));
        self.virtual_now += passed * f64::from(served) / f64::from(active);
    }

    /// Whether nothing runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting == 0
    }
}

fn queues(limits: &Limited) -> usize {
    match limits.response {
        Response::Reject => 0,
        Response::Queue { queues, .. } => queues.max(1),
    }
}
