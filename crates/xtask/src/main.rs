//! Trialog's chores, run as `cargo xtask <command>`. This file knows the commands and their switches; each command
//! lives in a module of its own and says in one line how it ended.

mod ci;
mod compare;
mod fuzz;
mod needs;
mod nfs;
mod quality;
mod shell;
mod simulate;
mod test;
mod tidy;

use std::process::ExitCode;

use shell::Outcome;

/// One command: its name, its switches, what it is for, and what it runs.
struct Command {
    name: &'static str,
    switches: &'static [Switch],
    /// What a word without dashes is, if there may be one.
    word: Option<&'static str>,
    help: &'static str,
    run: fn(&Given) -> Outcome,
}

/// A switch of a command; `value` names what follows it, if anything does.
struct Switch {
    name: &'static str,
    value: Option<&'static str>,
    help: &'static str,
}

/// The switches that were given, in order, with their values.
struct Given(Vec<(&'static str, String)>);

impl Given {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| *given == name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }
}

const COMMANDS: &[Command] = &[
    Command {
        name: "ci",
        switches: &[Switch { name: "--long", value: None, help: "hours of it: for a night, or before a release" }],
        word: None,
        help: "everything that must hold before a change is kept: format, tidy, clippy, docs, test",
        run: |given| ci::run(given.has("--long")),
    },
    Command {
        name: "test",
        switches: &[],
        word: None,
        help: "install what the tests need, then run every test, doc test and smoke test",
        run: |_| test::run(),
    },
    Command {
        name: "tidy",
        switches: &[],
        word: None,
        help: "the house rules: arrows between crates, licences, file headers and lengths, links",
        run: |_| tidy::run(),
    },
    Command {
        name: "fuzz",
        switches: &[
            Switch { name: "--seconds", value: Some("N"), help: "how long each target runs" },
            Switch { name: "--long", value: None, help: "an hour each" },
            Switch { name: "--replay", value: Some("PATH"), help: "run one input of the target once" },
        ],
        word: Some("TARGET"),
        help: "hostile bytes for everything that reads bytes: all targets for a few seconds, or one",
        run: |given| match given.value("--replay") {
            Some(input) => fuzz::replay(given.value("TARGET"), input),
            None => fuzz::run(given.value("TARGET"), given.value("--seconds"), given.has("--long")),
        },
    },
    Command {
        name: "simulate",
        switches: &[
            Switch { name: "--seeds", value: Some("N"), help: "how many worlds (10000)" },
            Switch { name: "--first", value: Some("S"), help: "the seed to begin with (0)" },
            Switch { name: "--seed", value: Some("S"), help: "one world, with each of its calls" },
            Switch { name: "--images", value: Some("N"), help: "how many crash images (100000)" },
            Switch { name: "--long", value: None, help: "a thousand times as many, for a night" },
        ],
        word: None,
        help: "the journal on a file in simulated worlds where everything goes wrong",
        run: |given| {
            let words = given.0.iter().flat_map(|(name, value)| [*name, value.as_str()]);
            simulate::run(&words.filter(|word| !word.is_empty()).collect::<Vec<_>>())
        },
    },
    Command {
        name: "nfs",
        switches: &[
            Switch { name: "--quick", value: None, help: "one version of the protocol, a minute or two" },
            Switch { name: "--version", value: Some("V"), help: "3, 4.0, 4.1 or 4.2" },
        ],
        word: None,
        help: "real NFS: a server and two clients, pulled cables, killed holders, a full disk",
        run: |given| nfs::run(given.has("--quick"), given.value("--version")),
    },
    Command {
        name: "compare",
        switches: &[
            Switch { name: "--json", value: Some("PATH"), help: "write the figures there as well, as JSON" },
            Switch {
                name: "--quick",
                value: None,
                help: "tiny sizes, one repetition: shows that it works, no more",
            },
            Switch { name: "--only", value: Some("NAME"), help: "one measurement" },
        ],
        word: None,
        help: "the same work through Trialog, Optuna and Rustuna, side by side",
        run: |given| compare::run(given.has("--quick"), given.value("--only"), given.value("--json")),
    },
    Command {
        name: "quality",
        switches: &[
            Switch { name: "--quick", value: None, help: "a few small runs: shows that it works, no more" },
            Switch { name: "--group", value: Some("G"), help: "these groups of functions, with commas between" },
            Switch { name: "--sampler", value: Some("S"), help: "these samplers or pruners (all but gp and auto)" },
            Switch { name: "--rivals", value: Some("S"), help: "the best of these of Optuna's meets auto (no gp)" },
            Switch { name: "--seeds", value: Some("N"), help: "studies of each function (10)" },
            Switch {
                name: "--budget",
                value: Some("N"),
                help: "trials of each study (100), or several with commas",
            },
            Switch {
                name: "--options",
                value: Some("JSON"),
                help: "options of our sampler that are not the defaults",
            },
            Switch { name: "--jobs", value: Some("N"), help: "studies at a time (as many as processors)" },
            Switch { name: "--fresh", value: None, help: "run Optuna again where its results are kept" },
            Switch { name: "--json", value: Some("PATH"), help: "write the table there as well, as JSON" },
        ],
        word: None,
        help: "each sampler against Optuna's of its name, on public test functions",
        run: |given| {
            let passed =
                ["--group", "--sampler", "--rivals", "--seeds", "--budget", "--options", "--jobs", "--json"];
            let given_value = |name: &'static str| given.value(name).map(|value| (name, value));
            let switches: Vec<_> = passed.into_iter().filter_map(given_value).collect();
            quality::run(given.has("--quick"), given.has("--fresh"), &switches)
        },
    },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words.split_first() {
        None => Err(usage()),
        Some((word, _)) if matches!(word.as_str(), "help" | "--help" | "-h") => {
            println!("{}", usage());
            Ok(())
        }
        Some((word, rest)) => command(word).and_then(|command| (command.run)(&parse(command, rest)?)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn command(name: &str) -> Outcome<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| command.name == name)
        .ok_or_else(|| format!("no command {name:?}\n\n{}", usage()))
}

fn parse(command: &Command, words: &[String]) -> Outcome<Given> {
    let mut given = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if let Some(name) = command.word.filter(|_| !word.starts_with('-')) {
            given.push((name, word.clone()));
            continue;
        }
        let known = command.switches.iter().find(|switch| switch.name == word);
        let switch = known.ok_or_else(|| format!("`{}` has no switch {word:?}\n\n{}", command.name, usage()))?;
        let value = match switch.value {
            None => String::new(),
            Some(what) => words.next().cloned().ok_or_else(|| format!("{word} wants a {what} after it"))?,
        };
        given.push((switch.name, value));
    }
    Ok(Given(given))
}

fn usage() -> String {
    let mut text = String::from("usage: cargo xtask <command> [switches]\n");
    for command in COMMANDS {
        let named = [Some(command.name), command.word].into_iter().flatten().collect::<Vec<_>>().join(" ");
        text += &format!("\n  {named:<8} {}", command.help);
        for switch in command.switches {
            let shown = [Some(switch.name), switch.value].into_iter().flatten().collect::<Vec<_>>().join(" ");
            text += &format!("\n           {shown:<12} {}", switch.help);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(String::from).collect()
    }

    #[test]
    fn command_names_are_unique_and_explained() {
        for (index, one) in COMMANDS.iter().enumerate() {
            assert!(!one.help.is_empty(), "{} has no help", one.name);
            assert!(
                COMMANDS.iter().skip(index + 1).all(|other| other.name != one.name),
                "{} is there twice",
                one.name
            );
        }
    }

    #[test]
    fn switches_are_read_by_the_table() {
        let compare = command("compare").unwrap();
        let given = parse(compare, &words("--quick --json out.json")).unwrap();
        assert!(given.has("--quick"));
        assert_eq!(given.value("--json"), Some("out.json"));
        assert!(!given.has("--only"));
    }

    #[test]
    fn a_word_is_read_where_one_may_stand() {
        let given = parse(command("fuzz").unwrap(), &words("frame --seconds 5")).unwrap();
        assert_eq!((given.value("TARGET"), given.value("--seconds")), (Some("frame"), Some("5")));
        assert!(parse(command("tidy").unwrap(), &words("frame")).is_err());
    }

    #[test]
    fn what_the_table_does_not_know_is_an_error() {
        let compare = command("compare").unwrap();
        assert!(parse(compare, &words("--fast")).is_err());
        assert!(parse(compare, &words("--json")).is_err());
        assert!(command("compile").is_err());
    }
}
