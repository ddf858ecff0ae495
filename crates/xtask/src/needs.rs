//! What has to be on the machine beyond the Rust toolchain: one table, and the code that puts it there. A thing that
//! is missing and cannot be installed is an error, never a reason to skip a test.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell::{self, Outcome};

/// What one purpose needs. Whatever asks for the purpose gets all of it.
pub(crate) struct Need {
    /// The purpose, and the name of its Python environment: `target/venv-<purpose>`.
    pub(crate) purpose: &'static str,
    /// Why anything is needed at all.
    pub(crate) why: &'static str,
    /// Programs, and the Debian packages that bring them.
    pub(crate) programs: &'static [Program],
    /// Python packages with their exact versions.
    pub(crate) python: &'static [&'static str],
}

/// A program that has to be there.
pub(crate) struct Program {
    /// A command that succeeds when it is.
    probe: &'static [&'static str],
    debian: &'static [&'static str],
}

/// Debian ships `venv` without the part that installs pip, so it is `ensurepip` that has to be asked for.
const PYTHON: Program =
    Program { probe: &["python3", "-c", "import venv, ensurepip"], debian: &["python3", "python3-venv"] };

const CPLUSPLUS: Program = Program { probe: &["c++", "--version"], debian: &["g++"] };

/// Debian's package of the Sentinel brings only a link, and one more service that starts by itself.
const REDIS: Program = Program { probe: &["redis-server", "--version"], debian: &["redis-server"] };

const fn program(probe: &'static [&'static str], debian: &'static [&'static str]) -> Program {
    Program { probe, debian }
}

/// A Linux that runs as a process, and what it takes to be an NFS server and its clients.
const NFS: &[Program] = &[
    program(&["linux.uml", "--version"], &["user-mode-linux"]),
    program(&["test", "-x", "/sbin/modprobe"], &["kmod"]),
    program(&["test", "-x", "/usr/sbin/rpc.nfsd"], &["nfs-kernel-server"]),
    program(&["test", "-x", "/sbin/mount.nfs"], &["nfs-common"]),
    program(&["test", "-x", "/usr/sbin/rpcinfo"], &["rpcbind"]),
    program(&["test", "-x", "/sbin/ip"], &["iproute2"]),
    program(&["test", "-x", "/sbin/mkfs.ext4"], &["e2fsprogs"]),
    program(&["nsenter", "--version"], &["util-linux"]),
];

/// The table.
pub(crate) const NEEDS: &[Need] = &[
    Need {
        purpose: "peers",
        why: "the comparison runs the same work through the libraries people use today",
        programs: &[PYTHON, REDIS],
        python: &["optuna==5.0.0", "rustuna==0.2.0", "numpy==2.4.6", "redis==8.1.0"],
    },
    Need {
        purpose: "quality",
        why: "Optuna's samplers run on the same test functions as ours",
        programs: &[PYTHON],
        python: &["optuna==5.0.0", "numpy==2.4.6", "scipy==1.17.1", "cmaes==0.13.1"],
    },
    Need {
        purpose: "quality-gp",
        why: "Optuna's Gaussian processes run on PyTorch, which takes gigabytes and so stands apart",
        programs: &[PYTHON],
        python: &["optuna==5.0.0", "numpy==2.4.6", "scipy==1.17.1", "cmaes==0.13.1", "torch==2.15.0"],
    },
    Need {
        purpose: "optuna-5",
        why: "the tests share studies with Optuna's own workers, and import a database that it makes",
        programs: &[PYTHON],
        python: &["optuna==5.0.0", "redis==8.1.0"],
    },
    Need {
        purpose: "optuna-4",
        why: "the tests share studies with workers of the last Optuna before 5, too",
        programs: &[PYTHON],
        python: &["optuna==4.9.0", "redis==8.1.0"],
    },
    Need {
        purpose: "redis",
        why: "tests start servers of their own, and kill, stop, fill and fail them over",
        programs: &[REDIS],
        python: &[],
    },
    Need {
        purpose: "fuzz",
        why: "the engine of the fuzz targets is written in C++",
        programs: &[CPLUSPLUS],
        python: &[],
    },
    Need {
        purpose: "nfs",
        why: "what NFS does is known of real kernels only, so one is booted with a server and two clients in it",
        programs: NFS,
        python: &[],
    },
];

/// Makes sure that everything one purpose needs is there.
pub(crate) fn ensure(purpose: &str) -> Outcome<&'static Need> {
    let need = NEEDS.iter().find(|need| need.purpose == purpose);
    let need = need.ok_or_else(|| format!("nothing in the table of needs is called {purpose:?}"))?;
    println!("    {purpose}: {}", need.why);
    for program in need.programs {
        ensure_program(program)?;
    }
    Ok(need)
}

/// Makes sure of one purpose's Python environment, and returns its interpreter.
pub(crate) fn ensure_python(purpose: &str, target: &Path) -> Outcome<PathBuf> {
    let need = ensure(purpose)?;
    let folder = target.join(format!("venv-{purpose}"));
    let python = folder.join("bin").join("python");
    let stamp = folder.join("packages.txt");
    let wanted = need.python.join("\n");
    // The stamp is written last, so an environment that was interrupted half-way is made again.
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) && python.exists() {
        println!("    {}", need.python.join(" "));
        return Ok(python);
    }
    println!("    installing {}", need.python.join(" "));
    shell::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    shell::run(Command::new(&python).args(pip).args(need.python))?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    Ok(python)
}

fn ensure_program(program: &Program) -> Outcome {
    if found(program) {
        return Ok(());
    }
    println!("    installing {}", program.debian.join(" "));
    let installed = apt(&["update", "--quiet"]).and_then(|()| {
        let install = ["install", "--yes", "--quiet", "--no-install-recommends"];
        apt(&[&install, program.debian].concat())
    });
    let hint = format!("install it by hand: apt-get install {}", program.debian.join(" "));
    installed.map_err(|problem| format!("{problem}\n{hint}"))?;
    if found(program) { Ok(()) } else { Err(format!("{:?} still fails; {hint}", program.probe)) }
}

fn found(program: &Program) -> bool {
    let Some((name, arguments)) = program.probe.split_first() else { return true };
    shell::capture(Command::new(name).args(arguments)).is_ok()
}

fn apt(arguments: &[&str]) -> Outcome {
    shell::run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_python_package_is_pinned() {
        for need in NEEDS {
            for package in need.python {
                assert!(package.contains("=="), "{package} has no exact version");
            }
        }
    }

    #[test]
    fn a_need_that_is_not_in_the_table_is_an_error() {
        assert!(ensure("astrolabe").is_err());
    }

    #[test]
    fn a_program_that_cannot_be_had_is_an_error() {
        // The probe fails and there is no package of that name, wherever this runs.
        let program = Program { probe: &["no-such-program-here"], debian: &[] };
        assert!(!found(&program));
    }
}
