//! What it costs to take a free lock and release it, beside fd-lock and the standard library's `File::lock`.
//!
//! Each opens the file, locks it, and closes it again. gtlock also finds out which lock file belongs to the
//! data, looks whether the path still names the file that it locked, and keeps the record of holders; for a
//! shared lock that means a second lock, on the directory, for the time of each edit.
//!
//! ```text
//! cargo bench --bench lock
//! ```
#![expect(clippy::disallowed_methods, reason = "the peers' locks")]

use std::fs::File;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use fd_lock::RwLock;
use gtlock::lock::{Guard, Request};

fn open(path: &Path) -> File {
    File::options().create(true).truncate(false).write(true).open(path).expect("it can be opened")
}

fn take(lock: &Request) -> Guard {
    lock.lock().expect("nobody else holds it")
}

fn exclusive(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("state.json");
    let mut group = c.benchmark_group("exclusive");
    let lock = Request::exclusive(&path);
    group.bench_function("gtlock", |b| b.iter(|| take(&lock)));
    let direct = Request::exclusive(&path).direct();
    group.bench_function("gtlock, direct", |b| b.iter(|| take(&direct)));
    group.bench_function("fd-lock", |b| {
        b.iter(|| drop(RwLock::new(open(&path)).write().expect("nobody else holds it")));
    });
    group.bench_function("std", |b| b.iter(|| open(&path).lock().expect("nobody else holds it")));
}

fn shared(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("state.json");
    let mut group = c.benchmark_group("shared");
    let lock = Request::shared(&path);
    group.bench_function("gtlock", |b| b.iter(|| take(&lock)));
    let direct = Request::shared(&path).direct();
    group.bench_function("gtlock, direct", |b| b.iter(|| take(&direct)));
    group.bench_function("fd-lock", |b| {
        b.iter(|| drop(RwLock::new(open(&path)).read().expect("nobody else holds it")));
    });
    group.bench_function("std", |b| b.iter(|| open(&path).lock_shared().expect("nobody else holds it")));
}

/// One more reader, where so many are already in the record.
fn readers_in_the_record(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let lock = Request::shared(dir.path().join("state.json"));
    let mut group = c.benchmark_group("shared, beside readers");
    let mut readers = Vec::new();
    for count in [0, 10, 100, 500] {
        readers.resize_with(count, || take(&lock));
        group.bench_with_input(BenchmarkId::from_parameter(count), &lock, |b, lock| b.iter(|| take(lock)));
    }
}

criterion_group!(benches, exclusive, shared, readers_in_the_record);
criterion_main!(benches);
