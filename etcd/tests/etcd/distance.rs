//! An etcd that answers slowly, a server that is not etcd, and a request that is too large for etcd.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::cluster::{Cluster, shared};
use crate::common::{typed, waiters};

/// How long everything takes on its way, in each direction.
const WAY: Duration = Duration::from_millis(150);

#[test]
fn a_waiter_far_away_from_etcd_gets_the_lock() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --write", "far").hold();
    let mut waiter = typed(etcd, "run --write", "far").command(["true"]);
    waiter.0.env("GTLOCK_AT", far(etcd));
    let mut waiter = waiter.start();
    waiters(etcd, "far", 1);
    assert_eq!(holder.release(), 0);
    assert_eq!(waiter.code(), 0);
}

#[test]
fn a_time_that_is_over_far_away_from_etcd_is_not_an_etcd_out_of_reach() {
    let Some(etcd) = shared() else { return };
    let holder = typed(etcd, "run --write", "far-timeout").hold();
    let mut waiter = typed(etcd, "run --timeout 1s --write", "far-timeout").command(["true"]);
    waiter.0.env("GTLOCK_AT", far(etcd));
    waiter.end().code(75).stderr("held for writing");
    assert_eq!(holder.release(), 0);
}

#[test]
fn what_answers_and_is_no_etcd_is_passed_by() {
    let Some(etcd) = shared() else { return };
    let hosts = etcd.at().split_once("://").expect("a URL").1.to_owned();
    let other = no_etcd("{}");
    let mut page = typed(etcd, "run --write", "no-etcd").command(["true"]);
    page.0.env("GTLOCK_AT", format!("etcd://{}", no_etcd("<h1>A page</h1>\n...")));
    page.end().code(125).stderr("status 200 OK: <h1>A page</h1>\n");
    for options in ["run --write", "run --timeout 1s --write", "try --write"] {
        let mut one = typed(etcd, options, "no-etcd").command(["true"]);
        one.0.env("GTLOCK_AT", format!("etcd://{other}"));
        one.end().code(125).stderr("not as etcd does");
    }
    // Which of them is asked first depends on the process ID.
    for _ in 0..2 {
        let mut one = typed(etcd, "run --write", "no-etcd").command(["true"]);
        one.0.env("GTLOCK_AT", format!("etcd://{other},{hosts}"));
        one.end().code(0);
        let mut one = typed(etcd, "run --write", "no-etcd").command(["true"]);
        one.0.env("GTLOCK_AT", format!("etcd://{other},{other},{other},{hosts}"));
        one.end().code(0);
    }
    assert_eq!(etcd.keys("/gtlock/q/no-etcd/"), "");
}

#[test]
fn more_names_than_etcd_takes_at_once_are_refused_with_the_remedy() {
    let Some(etcd) = shared() else { return };
    for (count, code, says) in [(25, 0, ""), (26, 125, "too many names for one transaction: lock fewer")] {
        let mut many = typed(etcd, "run --write", "many");
        for name in 1..count {
            many = many.and("--write", format!("many-{name}"));
        }
        many.command(["true"]).end().code(code).stderr(says);
    }
}

/// The address of a server that answers every request with this text.
fn no_etcd(says: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for mut near in listener.incoming().map_while(Result::ok) {
            let _ = near.read(&mut [0; 4096]);
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", says.len());
            let _ = near.write_all((head + says).as_bytes());
        }
    });
    address
}

/// The URL of another, long way to a cluster.
fn far(etcd: &Cluster) -> String {
    let url = etcd.at();
    let (scheme, hosts) = url.split_once("://").expect("a URL");
    let hosts: Vec<_> = hosts.split(',').map(|host| lengthen(host.to_owned())).collect();
    format!("{scheme}://{}", hosts.join(","))
}

fn lengthen(host: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let near = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(there) = TcpStream::connect(&host) else { continue };
            let (back, home) = (there.try_clone().expect("a copy"), near.try_clone().expect("a copy"));
            thread::spawn(move || carry(near, there));
            thread::spawn(move || carry(back, home));
        }
    });
    near.to_string()
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 1 << 12];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        thread::sleep(WAY);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
