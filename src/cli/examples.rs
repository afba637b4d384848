//! Examples for the help.

pub const GTLOCK: &str = "\
Examples:
  gtlock run --write state.json -- ./update.sh
  gtlock run --read state.json -- cat state.json
  gtlock try --write state.json -- ./update.sh
  gtlock update state.json -- jq '.count += 1'
  gtlock status
  gtlock clean
  gtlock report locks.log";

pub const RUN: &str = "\
Examples:
  gtlock run --write state.json -- ./update.sh
  gtlock run --read state.json -- cat state.json
  gtlock run --timeout 5s --write state.json -- ./update.sh
  gtlock run --write from.json --write to.json -- ./move.sh
  gtlock run --write log -- sh -c 'date >> log'";

pub const TRY: &str = "\
Examples:
  gtlock try --write state.json -- ./update.sh
  gtlock try -q -E 0 --write state.json -- ./update.sh
  gtlock try -q --write state.json && echo free";

pub const UPDATE: &str = "\
Examples:
  gtlock update state.json -- jq '.count += 1'
  gtlock update registry.json -- jq -s '.[0] // {} | .agents.ada.task = 7'
  gtlock update --backup .bak app.conf -- sed 's/^port=.*/port=8080/'
  gtlock update --timeout 5s names.txt -- sort -u
  gtlock update --dry-run state.json -- ./filter.py";

pub const STATUS: &str = "\
Examples:
  gtlock status
  gtlock status state.json
  gtlock status -R --json";

pub const CLEAN: &str = "\
Examples:
  gtlock clean
  gtlock clean --dry-run
  gtlock clean -R .";

pub const REPORT: &str = "\
Examples:
  gtlock report locks.log
  gtlock report --since 1day --lock state.json locks.log
  gtlock report --html report.html locks.log";
