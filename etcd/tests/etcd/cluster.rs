//! One etcd, or several that form a cluster, on free ports of this machine.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::common::{eventually, gtlock, skip};

/// How often to look for free ports: another process may take one before etcd does.
const ATTEMPTS: usize = 10;

/// Runs etcd until the tests' process ends, however that happens. It prints etcd's process ID.
const GUARD: &str = r#""$@" > /dev/null 2>> "$LOG" & echo $!; read -r _; kill -9 $! 2> /dev/null; wait"#;

/// A cluster that runs.
pub struct Cluster {
    nodes: Vec<Node>,
    scheme: &'static str,
    /// The data of its nodes.
    dir: TempDir,
    /// The environment that each gtlock needs.
    pub environment: Vec<(&'static str, PathBuf)>,
}

/// A cluster whose nodes a test may kill and stop. Only one such test runs at a time.
pub struct Alone {
    cluster: Cluster,
    _guard: MutexGuard<'static, ()>,
}

impl Deref for Alone {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl DerefMut for Alone {
    fn deref_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }
}

struct Node {
    url: String,
    arguments: Vec<String>,
    process: Option<Process>,
}

struct Process {
    guard: Child,
    _stdin: ChildStdin,
    etcd: Pid,
}

/// The certificate files for encrypted connections.
#[derive(Clone, Copy)]
pub struct Certificates<'a> {
    pub ca: &'a Path,
    pub cert: &'a Path,
    pub key: &'a Path,
}

/// The cluster of three that the tests share. No test breaks it.
pub fn shared() -> Option<&'static Cluster> {
    static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(3, None)).as_ref()
}

impl Cluster {
    /// A cluster to break. One at a time: the machine may be small.
    pub fn alone(nodes: usize) -> Option<Alone> {
        static ALONE: Mutex<()> = Mutex::new(());
        let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Alone { cluster: Self::start(nodes, None)?, _guard: guard })
    }

    /// A cluster of one node with encrypted connections, whose clients need a certificate.
    pub fn encrypted(certificates: Certificates<'_>) -> Option<Self> {
        Self::start(1, Some(certificates))
    }

    fn start(nodes: usize, certificates: Option<Certificates<'_>>) -> Option<Self> {
        let etcd = etcd()?;
        for _ in 0..ATTEMPTS {
            let cluster = Self::try_start(&etcd, nodes, certificates);
            if cluster.comes_up() {
                return Some(cluster);
            }
        }
        panic!("etcd does not come up");
    }

    fn try_start(etcd: &Path, count: usize, certificates: Option<Certificates<'_>>) -> Self {
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let ports = free_ports(2 * count);
        let (clients, peers) = ports.split_at(count);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let all: Vec<_> =
            peers.iter().enumerate().map(|(at, port)| format!("n{at}=http://127.0.0.1:{port}")).collect();
        let nodes = clients.iter().zip(peers).enumerate().map(|(at, (client, peer))| {
            let (client, peer) =
                (format!("{scheme}://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
            let data = dir.path().join(format!("n{at}"));
            let mut arguments: Vec<String> = [
                &*etcd.to_string_lossy(),
                "--name",
                &format!("n{at}"),
                "--data-dir",
                &data.to_string_lossy(),
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
                "--initial-cluster",
                &all.join(","),
            ]
            .map(str::to_owned)
            .into();
            if let Some(Certificates { ca, cert, key }) = certificates {
                let files = [("--trusted-ca-file", ca), ("--cert-file", cert), ("--key-file", key)];
                arguments.extend(
                    files.iter().flat_map(|(name, file)| [(*name).into(), file.display().to_string()]),
                );
                arguments.push("--client-cert-auth".into());
            }
            Node { url: client, arguments, process: None }
        });
        let mut environment = Vec::new();
        if let Some(Certificates { ca, cert, key }) = certificates {
            let variables = ["GTLOCK_ETCD_CACERT", "GTLOCK_ETCD_CERT", "GTLOCK_ETCD_KEY"];
            environment.extend(variables.into_iter().zip([ca, cert, key].map(Path::to_owned)));
        }
        let scheme = if certificates.is_some() { "etcds" } else { "etcd" };
        let mut cluster = Self { nodes: nodes.collect(), scheme, dir, environment };
        for node in 0..count {
            cluster.launch(node);
        }
        cluster
    }

    /// Waits until etcd answers. Returns `false` if a node has ended instead.
    fn comes_up(&self) -> bool {
        let mut is_up = false;
        eventually("etcd answers, or ends", || {
            let is_gone = |node: &Node| node.process.as_ref().is_none_or(|process| !is_alive(process.etcd));
            is_up = gtlock(self).arg("status").output().is_ok_and(|output| output.status.success());
            is_up || self.nodes.iter().any(is_gone)
        });
        is_up
    }

    /// Starts a node. After a kill it has its old data.
    pub fn launch(&mut self, node: usize) {
        let log = self.dir.path().join(format!("n{node}.log"));
        let node = &mut self.nodes[node];
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "sh"]).args(&node.arguments).env("LOG", log);
        let mut guard = guard.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh starts");
        let stdin = guard.stdin.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(guard.stdout.take().expect("it is piped")).read_line(&mut line).expect("a line");
        let etcd = Pid::from_raw(line.trim().parse().expect("a process ID"));
        node.process = Some(Process { guard, _stdin: stdin, etcd });
    }

    /// The URL for `--at`, of all nodes.
    pub fn at(&self) -> String {
        let hosts = self.nodes.iter().map(|node| node.url.split_once("://").expect("a URL").1);
        format!("{}://{}", self.scheme, hosts.collect::<Vec<_>>().join(","))
    }

    pub fn signal(&self, node: usize, signal: Signal) {
        kill(self.nodes[node].process.as_ref().expect("it runs").etcd, signal).expect("it runs");
    }

    /// Kills a node.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].process = None; // its drop kills it
    }

    /// Starts a node again, with one more argument.
    pub fn restart_with(&mut self, node: usize, argument: &str) {
        self.kill(node);
        self.nodes[node].arguments.push(argument.to_owned());
        self.launch(node);
        eventually("etcd answers", || self.ctl(&["endpoint", "health"]).is_some());
    }

    /// The node that leads.
    pub fn leader(&self) -> usize {
        let mut leader = None;
        eventually("there is a leader", || {
            leader = (0..self.nodes.len()).find(|&node| {
                let status = self.etcdctl(&["endpoint", "status", "-w", "json"], &[node]);
                status.is_some_and(|status| {
                    let status: serde_json::Value = serde_json::from_str(&status).unwrap_or_default();
                    let id = |value: &serde_json::Value| value.as_u64().filter(|&id| id != 0);
                    let leads = id(&status[0]["Status"]["leader"]);
                    leads.is_some() && leads == id(&status[0]["Status"]["header"]["member_id"])
                })
            });
            leader.is_some()
        });
        leader.expect("there is one")
    }

    /// The output of etcdctl, which asks all nodes; `None` if it fails.
    pub fn ctl(&self, arguments: &[&str]) -> Option<String> {
        self.etcdctl(arguments, &(0..self.nodes.len()).collect::<Vec<_>>())
    }

    fn etcdctl(&self, arguments: &[&str], nodes: &[usize]) -> Option<String> {
        let urls: Vec<_> = nodes.iter().map(|&node| self.nodes[node].url.as_str()).collect();
        let mut etcdctl = Command::new("etcdctl");
        etcdctl.env("ETCDCTL_API", "3").arg("--endpoints").arg(urls.join(",")).args(arguments);
        let output = etcdctl.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The keys of this prefix, one a line.
    pub fn keys(&self, prefix: &str) -> String {
        self.ctl(&["get", "--prefix", "--keys-only", prefix]).expect("etcdctl answers").replace("\n\n", "\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill(self.etcd, Signal::SIGKILL);
        let etcd = self.etcd;
        eventually("etcd is gone", || !is_alive(etcd));
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

fn is_alive(process: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

fn free_ports(count: usize) -> Vec<u16> {
    // All at once, so that they differ.
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port is free")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("it has one").port()).collect()
}

/// The etcd to test with, if there is one, and an etcdctl.
fn etcd() -> Option<PathBuf> {
    let is_there = |program: &Path| Command::new(program).arg("--version").output().is_ok();
    let etcd = env::var_os("ETCD_BIN").map_or_else(|| "etcd".into(), PathBuf::from);
    for program in [etcd.as_path(), Path::new("etcdctl"), Path::new("perl")] {
        if !is_there(program) {
            static SAID: OnceLock<()> = OnceLock::new();
            SAID.get_or_init(|| skip("the tests with etcd", &format!("no {}", program.display())));
            return None;
        }
    }
    Some(etcd)
}
