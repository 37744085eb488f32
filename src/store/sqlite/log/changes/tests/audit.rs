//! What the audit reads of the change log, and what is kept for it.

use super::super::audited;
use super::*;
use crate::domain::AuditedChange;

/// All changes that the audit finds, read in steps.
pub fn all(connection: &Connection) -> Vec<AuditedChange> {
    let (mut last, mut all) = (Mark::default(), Vec::new());
    loop {
        let read = behind(connection, last).unwrap();
        assert_eq!(read.unreadable, 0);
        if read.last == last {
            return all;
        }
        last = read.last;
        all.extend(read.changes);
    }
}

fn open_audited(model: &mut Model) -> AuditProgress {
    model.open_again_with(AuditUse::Kept);
    model.log.audit().unwrap()
}

fn expire_all(model: &mut Model) -> i64 {
    model.log.retention.age = Duration::ZERO;
    for _ in 0..10 {
        model.log.expire(&model.connection).unwrap();
        model.commit();
    }
    model.log.extent.oldest
}

#[test]
fn an_audit_begins_with_the_next_change_and_goes_on_where_it_was() {
    let mut model = long_model(20);
    let progress = open_audited(&mut model);
    assert_eq!(progress.written().sequence, model.log.extent.newest);
    assert_eq!(progress.bytes_behind(), 0);
    let first = progress.written().sequence + 1;
    for value in 0..5 {
        model.tag(0, value + 3);
        model.commit();
    }
    assert!(progress.bytes_behind() > 0);
    // Nothing is written down before the lines are safe.
    assert_eq!(open_audited(&mut model).written().sequence, first - 1);

    let progress = model.log.audit().unwrap();
    let read = behind(&model.connection, progress.written()).unwrap();
    progress.wrote(read.last);
    assert_eq!(progress.bytes_behind(), 0);
    model.tag(0, 20);
    model.commit();
    assert_eq!(
        open_audited(&mut model).written().sequence,
        read.last.sequence
    );
    // Without an audit for a while, the next one has nothing to catch up with.
    model.open_again_with(AuditUse::None);
    model.tag(0, 21);
    let newest = model.log.extent.newest;
    assert_eq!(open_audited(&mut model).written().sequence, newest + 1);
}

#[test]
fn what_has_no_lines_is_kept_beyond_the_retention() {
    let mut model = Model::new();
    let progress = open_audited(&mut model);
    for value in 0..40 {
        model.tag(0, value % 2 + 1);
        model.commit();
    }
    assert_eq!(expire_all(&mut model), 1);
    let mark = audited::mark_at(&model.connection, 30, &model.log.extent).unwrap();
    progress.wrote(mark);
    assert_eq!(expire_all(&mut model), 31);
    assert_eq!(progress.take_lost(), 0);
}

#[test]
fn what_is_kept_for_the_audit_is_bounded_and_what_it_loses_is_counted() {
    let mut model = Model::new();
    let progress = open_audited(&mut model);
    for value in 0..40 {
        model.tag(0, value % 2 + 1);
        model.commit();
    }
    // As if the newer ones had a gigabyte.
    model.log.extent.total += 1 << 30;
    let oldest = expire_all(&mut model);
    assert_eq!(oldest, model.log.extent.newest);
    assert_eq!(progress.take_lost(), oldest.unsigned_abs() - 1);
}

#[test]
fn a_change_that_can_not_be_read_is_counted_and_passed_over() {
    let mut model = Model::new();
    for value in 0..3 {
        model.tag(0, value + 1);
        model.commit();
    }
    let broken = "UPDATE change_log SET entries = x'ff' WHERE sequence = 2";
    model.connection.execute_batch(broken).unwrap();
    let read = behind(&model.connection, Mark::default()).unwrap();
    assert_eq!((read.unreadable, read.changes.len()), (1, 2));
    assert_eq!(read.last.sequence, 3);
}
