//! The recipe of docs/cluster.md that checks the fence in etcd.

use std::fs;
use std::process::Command;

use crate::cluster::shared;
use crate::common::{page, scratch, skip, typed};

#[test]
fn the_recipe_writes_to_etcd_only_while_the_lock_is_held() {
    let Some(etcd) = shared() else { return };
    if Command::new("jq").arg("--version").output().is_err() {
        return skip("the recipe that checks the fence", "no jq");
    }
    let page = page();
    let (_, recipe) = page.split_once("```bash\netcdctl txn").expect("docs/cluster.md has the recipe");
    let (recipe, _) = recipe.split_once("```").expect("the recipe ends");
    let recipe = format!("etcdctl txn{recipe}");
    let (dir, _) = scratch();
    let endpoints = etcd.at().replace("etcd://", "");
    let write = |content: &str, fence: &str| {
        fs::write(dir.path().join("state.json"), content).expect("it can be written");
        let script = format!("{fence}\n{recipe}");
        let mut launch = typed(etcd, "run --write", "the recipe").command(["sh", "-c", &script]);
        launch.0.current_dir(dir.path()).env("ETCDCTL_API", "3").env("ETCDCTL_ENDPOINTS", &endpoints);
        launch.end()
    };
    let stored = || etcd.ctl(&["get", "--print-value-only", "/app/state"]).expect("etcdctl answers");
    let content = "{\"a\": \"it's \\\"quoted\\\" $HOME\\\\\",\n \"b\": \"Grüße\"}";
    write(content, "").code(0);
    assert_eq!(stored(), format!("{content}\n"));
    write("of an earlier holder", "GTLOCK_FENCE=1").code(1);
    assert_eq!(stored(), format!("{content}\n"));
}
