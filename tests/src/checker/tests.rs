use super::*;

/// Digests of a put are its number times ten and up.
fn put(put: u64, count: u64) -> Event {
    Event::Put { put, producer: 1, records: (put * 10..put * 10 + count).collect() }
}

fn by(producer: u64, put: u64) -> Event {
    Event::Put { put, producer, records: vec![put * 10] }
}

fn acknowledged(put: u64, numbers: &[u64]) -> Event {
    Event::Acknowledged { put, numbers: numbers.to_vec() }
}

fn seen(records: &[(u64, Digest)]) -> Vec<Seen> {
    records
        .iter()
        .map(|&(number, digest)| Seen { number, digest, arrival_ms: 1000 + number })
        .collect()
}

fn page(from: u64, records: &[(u64, Digest)], next: u64) -> Event {
    Event::Page { from, records: seen(records), next }
}

fn whole(records: &[(u64, Digest)], next: u64) -> Event {
    Event::Whole { records: seen(records), next }
}

fn ended(is_cut: bool) -> Event {
    Event::Ended { is_cut }
}

fn opened(is_unsynced: bool) -> Event {
    Event::Opened { is_unsynced }
}

fn check(events: &[Event]) -> Vec<Violation> {
    checked(events).violations
}

fn checked(events: &[Event]) -> ShardChecker {
    let mut checker = ShardChecker::new();
    for event in events {
        checker.see(event);
        if matches!(event, Event::Whole { .. }) {
            checker.see(&Event::Settled);
        }
    }
    checker
}

#[test]
fn a_history_in_which_everything_goes_well_has_no_violation() {
    let checker = checked(&[
        opened(false),
        put(1, 3),
        put(2, 1),
        page(0, &[], 1),
        acknowledged(1, &[1, 2, 3]),
        page(1, &[(1, 10), (2, 11)], 3),
        // A record is shown before its put is answered, and a number may be left out.
        page(3, &[(3, 12), (5, 20)], 6),
        acknowledged(2, &[5]),
        put(3, 2),
        ended(true),
        opened(false),
        whole(&[(1, 10), (2, 11), (3, 12), (5, 20)], 6),
        put(4, 1),
        acknowledged(4, &[8]),
        Event::Horizon { to: 3, cutoff_ms: 1002 },
        whole(&[(3, 12), (5, 20), (8, 40)], 9),
    ]);
    assert_eq!(checker.violations(), []);
    assert_eq!((checker.due(), checker.compared()), (3, 11));
}

#[test]
fn an_acknowledged_record_that_is_gone_is_found_in_the_middle_and_at_the_end() {
    let put_two = [put(1, 1), acknowledged(1, &[1]), put(2, 1), acknowledged(2, &[2])];
    let with = |last: Event| check(&[&put_two[..], &[ended(true), opened(false), last]].concat());
    assert_eq!(with(whole(&[(1, 10)], 2)), [Violation::Lost { number: 2 }]);
    assert_eq!(with(whole(&[(2, 20)], 3)), [Violation::Lost { number: 1 }]);
    assert_eq!(with(page(0, &[(2, 20)], 3)), [Violation::Lost { number: 1 }]);
    assert_eq!(with(page(2, &[(2, 20)], 3)), []);
}

#[test]
fn what_a_reader_was_shown_may_not_vanish_though_nobody_acknowledged_it() {
    let events = [put(1, 1), page(0, &[(1, 10)], 2), ended(true), opened(false), whole(&[], 1)];
    assert_eq!(check(&events), [Violation::Lost { number: 1 }]);
}

#[test]
fn a_record_that_changes_is_found() {
    let events = [put(1, 2), acknowledged(1, &[1, 2]), page(0, &[(1, 11), (2, 10)], 3)];
    let found = check(&events);
    assert_eq!(found[..2], [Violation::Changed { number: 1 }, Violation::Changed { number: 2 }]);
    let mut later = seen(&[(1, 10)]);
    later[0].arrival_ms += 1;
    let events =
        [put(1, 1), page(0, &[(1, 10)], 2), Event::Page { from: 0, records: later, next: 2 }];
    assert_eq!(check(&events), [Violation::Changed { number: 1 }]);
}

#[test]
fn a_number_is_given_once() {
    let events = [put(1, 1), put(2, 1), acknowledged(1, &[1]), acknowledged(2, &[1])];
    assert_eq!(check(&events), [Violation::Reused { number: 1 }]);
    // Not even after its record was lost by right.
    let events = [
        opened(true),
        put(1, 1),
        acknowledged(1, &[1]),
        ended(true),
        opened(true),
        whole(&[], 1),
        put(2, 1),
        acknowledged(2, &[1]),
    ];
    assert_eq!(check(&events), [Violation::Reused { number: 1 }]);
}

#[test]
fn a_record_stands_once() {
    let events = [put(1, 1), acknowledged(1, &[1]), whole(&[(1, 10), (2, 10)], 3)];
    assert_eq!(check(&events), [Violation::Twice { number: 1, again: 2 }]);
}

#[test]
fn what_was_refused_or_never_put_or_not_found_once_does_not_appear() {
    let refused = [put(1, 1), Event::Refused { put: 1 }, whole(&[(1, 10)], 2)];
    assert_eq!(check(&refused), [Violation::Risen { number: 1 }]);
    let too_late = [put(1, 1), page(0, &[(1, 10)], 2), Event::Refused { put: 1 }];
    assert_eq!(check(&too_late), [Violation::Risen { number: 1 }]);
    assert_eq!(check(&[whole(&[(1, 99)], 2)]), [Violation::Risen { number: 1 }]);
    let torn_tail = [put(1, 1), ended(true), opened(false), whole(&[], 1), whole(&[(1, 10)], 2)];
    assert_eq!(check(&torn_tail), [Violation::Risen { number: 1 }]);
    let lost_by_right = [
        opened(true),
        put(1, 1),
        acknowledged(1, &[1]),
        ended(true),
        opened(true),
        whole(&[], 1),
        whole(&[(1, 10)], 2),
    ];
    assert_eq!(check(&lost_by_right), [Violation::Risen { number: 1 }]);
}

#[test]
fn a_put_that_follows_an_answer_stands_behind_it() {
    let events = [by(1, 1), acknowledged(1, &[5]), by(2, 2), acknowledged(2, &[4])];
    assert_eq!(check(&events), [Violation::Overtaken { number: 4, floor: 6 }]);
    // A reader waits at a position: what is put later comes at or behind it.
    let waits = [Event::Tip { next: 9 }, put(1, 1), acknowledged(1, &[8])];
    assert_eq!(check(&waits), [Violation::Overtaken { number: 8, floor: 9 }]);
}

#[test]
fn records_of_a_producer_keep_their_order_also_where_nobody_waits() {
    let events = [by(1, 1), by(1, 2), by(2, 3), page(0, &[(1, 20), (2, 30), (3, 10)], 4)];
    assert_eq!(check(&events), [Violation::Reordered { number: 3 }]);
    let batch = [put(1, 2), page(0, &[(1, 11), (2, 10)], 3)];
    assert_eq!(check(&batch), [Violation::Reordered { number: 2 }]);
}

#[test]
fn nothing_is_inserted_where_a_reader_has_passed() {
    let events = [by(1, 1), by(2, 2), page(0, &[(2, 20)], 3), acknowledged(1, &[1])];
    assert_eq!(check(&events), [Violation::Inserted { number: 1 }]);
}

#[test]
fn numbers_and_times_rise_within_a_page() {
    let records = [by(1, 1), by(2, 2)];
    let with = |last: Event| check(&[&records[..], &[last]].concat());
    assert_eq!(with(page(0, &[(2, 20), (1, 10)], 3)), [Violation::Order { number: 1 }]);
    assert_eq!(with(page(2, &[(1, 10), (2, 20)], 3)), [Violation::Order { number: 1 }]);
    assert_eq!(with(page(0, &[(1, 10), (2, 20)], 2)), [Violation::Order { number: 2 }]);
    let mut falling = seen(&[(1, 10), (2, 20)]);
    falling[1].arrival_ms = 7;
    let falling = Event::Page { from: 0, records: falling, next: 3 };
    assert_eq!(with(falling), [Violation::Order { number: 2 }]);
    let answer = [put(1, 2), acknowledged(1, &[2, 1])];
    assert!(check(&answer).contains(&Violation::Order { number: 1 }));
}

#[test]
fn retention_takes_nothing_early_and_never_gives_back() {
    let put_two = [put(1, 2), acknowledged(1, &[1, 2]), page(0, &[(1, 10), (2, 11)], 3)];
    let with = |last: &[Event]| check(&[&put_two[..], last].concat());
    // They have arrived at 1001 and 1002.
    assert_eq!(with(&[Event::Horizon { to: 3, cutoff_ms: 1002 }, whole(&[], 3)]), []);
    let early = [Event::Horizon { to: 3, cutoff_ms: 1001 }];
    assert_eq!(with(&early), [Violation::Trimmed { number: 2 }]);
    let falls = [Event::Horizon { to: 2, cutoff_ms: 1001 }, Event::Horizon { to: 1, cutoff_ms: 0 }];
    assert_eq!(with(&falls), [Violation::Trimmed { number: 1 }]);
    let back = [Event::Horizon { to: 2, cutoff_ms: 1001 }, page(1, &[(1, 10), (2, 11)], 3)];
    assert_eq!(with(&back), [Violation::Trimmed { number: 1 }]);
}

#[test]
fn damage_that_is_told_is_counted_and_no_violation() {
    let checker = checked(&[
        put(1, 3),
        acknowledged(1, &[1, 2, 3]),
        ended(true),
        opened(false),
        Event::Damage { first_lost: 2, next_readable: 3 },
        whole(&[(1, 10), (3, 12)], 4),
    ]);
    assert_eq!((checker.violations(), checker.lost_in_damage()), (&[][..], 1));
}

#[test]
fn an_unsynced_run_may_lose_a_suffix_of_its_own_records_in_a_power_cut_and_in_nothing_else() {
    let run = [
        opened(false),
        put(1, 1),
        acknowledged(1, &[1]),
        ended(false),
        opened(true),
        put(2, 1),
        acknowledged(2, &[2]),
        put(3, 1),
        acknowledged(3, &[3]),
    ];
    let with = |last: &[Event]| checked(&[&run[..], last].concat());
    let cut = |last: Event| with(&[ended(true), opened(true), last]);
    let suffix = cut(whole(&[(1, 10), (2, 20)], 3));
    assert_eq!((suffix.violations(), suffix.lost_unsynced()), (&[][..], 1));
    let all = cut(whole(&[(1, 10)], 2));
    assert_eq!((all.violations(), all.lost_unsynced()), (&[][..], 2));
    let hole = cut(whole(&[(1, 10), (3, 30)], 4));
    assert_eq!(hole.violations(), [Violation::Lost { number: 2 }]);
    let synced = cut(whole(&[], 1));
    assert_eq!(synced.violations(), [Violation::Lost { number: 1 }]);
    let killed = with(&[ended(false), opened(true), whole(&[(1, 10), (2, 20)], 3)]);
    assert_eq!(killed.violations(), [Violation::Lost { number: 3 }]);
    // What a restart has shown survives the next cut, whatever the mode.
    let served = [
        ended(true),
        opened(true),
        whole(&[(1, 10), (2, 20)], 3),
        ended(true),
        opened(true),
        whole(&[(1, 10)], 2),
    ];
    assert_eq!(with(&served).violations(), [Violation::Lost { number: 2 }]);
    // Also where puts have followed it since.
    let served = [
        ended(true),
        opened(true),
        whole(&[(1, 10), (2, 20)], 3),
        put(4, 1),
        acknowledged(4, &[4]),
        ended(true),
        opened(true),
        whole(&[(1, 10)], 2),
    ];
    assert_eq!(with(&served).violations(), [Violation::Lost { number: 2 }]);
}
