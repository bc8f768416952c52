//! The MVCC store: transactions, revisions, watches, compaction; contract tests.
