//! Getting servers onto this machine: once, into this user's cache, from package registries only.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{apart, end, guard, last_lines};
use crate::wait::until;
use crate::{Error, ErrorKind, Product, cache};

impl Product {
    /// Whether it can be started here, and if not, why.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`].
    pub fn check(self) -> Result<(), Error> {
        match self {
            Self::JavaNacos => java_nacos(&self.home()).map(drop),
            Self::RNacos => r_nacos(&self.home()).map(drop),
        }
    }

    /// Why this machine cannot have it, whatever is done: a tool is missing.
    #[must_use]
    pub fn obstacle(self) -> Option<Error> {
        let tool = match self {
            Self::JavaNacos => {
                let (java, maven) = (cache::java().is_some(), cache::program("mvn").is_some());
                missing_tool(java, maven, self.check().is_ok())?
            }
            Self::RNacos => return None,
        };
        Some(missing(self, tool))
    }

    /// Installs it, unless it is there already. Some six minutes on two cores for r-nacos, half a
    /// minute for Java Nacos.
    ///
    /// Safe to call from many processes at once: one installs, the others wait for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] when a tool is missing. [`ErrorKind::Machine`] when a tool fails,
    /// as without a network, or the cache cannot be written.
    pub fn install(self) -> Result<(), Error> {
        let home = self.home();
        fs::create_dir_all(&home).map_err(|error| unwritable(&home, error))?;
        let _turn = self.wait_for_turn(&home)?;
        if self.check().is_ok() {
            return Ok(());
        }
        match self {
            Self::JavaNacos => install_java_nacos(&home)?,
            Self::RNacos => install_r_nacos(&home)?,
        }
        self.check()
    }

    /// Where it stands or would stand.
    fn home(self) -> PathBuf {
        let folder = match self {
            Self::JavaNacos => "nacos",
            Self::RNacos => "r-nacos",
        };
        cache::servers().join(format!("{folder}-{}", self.version()))
    }

    fn wait_for_turn(self, home: &Path) -> Result<File, Error> {
        let path = home.join("install.lock");
        let lock = File::create(&path).map_err(|error| unwritable(&path, error))?;
        until(Instant::now() + PATIENCE, || lock.try_lock().ok()).ok_or_else(|| {
            let text = format_args!("another process takes too long to install {self}");
            Error::new(ErrorKind::Machine, text)
        })?;
        Ok(lock)
    }
}

/// An installed r-nacos: its program.
pub(crate) fn r_nacos_program() -> Result<PathBuf, Error> {
    r_nacos(&Product::RNacos.home())
}

/// An installed Java Nacos.
#[derive(Debug)]
pub(crate) struct JavaHome {
    pub(crate) java: PathBuf,
    pub(crate) jars: Vec<PathBuf>,
}

impl JavaHome {
    pub(crate) fn find() -> Result<Self, Error> {
        java_nacos(&Product::JavaNacos.home())
    }
}

fn r_nacos(home: &Path) -> Result<PathBuf, Error> {
    // Cargo notes a package here after its programs are in place.
    let noted = fs::read_to_string(home.join(".crates.toml")).unwrap_or_default();
    let package = format!("\"rnacos {} ", Product::RNacos.version());
    let program = home.join("bin/rnacos");
    if noted.contains(&package) && program.is_file() {
        return Ok(program);
    }
    Err(not_installed(Product::RNacos))
}

fn java_nacos(home: &Path) -> Result<JavaHome, Error> {
    let java = cache::java().ok_or_else(|| missing(Product::JavaNacos, "java"))?;
    let found = fs::read_dir(home.join("lib")).map_err(|_| not_installed(Product::JavaNacos))?;
    let mut jars: Vec<PathBuf> = found
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jar"))
        .collect();
    jars.sort();
    Ok(JavaHome { java, jars })
}

fn install_r_nacos(home: &Path) -> Result<(), Error> {
    let product = Product::RNacos;
    let cargo = cache::cargo().ok_or_else(|| missing(product, "cargo"))?;
    let mut command = Command::new(cargo);
    command
        .args(["install", "rnacos", "--locked", "--version", product.version(), "--root"])
        .arg(home);
    run(product, command, home)
}

fn install_java_nacos(home: &Path) -> Result<(), Error> {
    let product = Product::JavaNacos;
    let maven = cache::program("mvn").ok_or_else(|| missing(product, "mvn"))?;
    let pom = home.join("pom.xml");
    fs::write(&pom, POM).map_err(|error| unwritable(&pom, error))?;
    let (unfinished, lib) = (home.join("lib.unfinished"), home.join("lib"));
    let mut command = Command::new(maven);
    command
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", unfinished.display()));
    run(product, command, home)?;
    // In one step: half a class path would be taken for a whole one.
    fs::rename(&unfinished, &lib).map_err(|error| unwritable(&lib, error))
}

fn run(product: Product, mut command: Command, home: &Path) -> Result<(), Error> {
    let failed = |how: &str, log: &str| {
        let text = format_args!("cannot install {product}: {how}\n{}", last_lines(log));
        Error::new(ErrorKind::Machine, text)
    };
    let log = home.join("install.log");
    let output = File::create(&log).map_err(|error| unwritable(&log, error))?;
    let errors = output.try_clone().map_err(|error| unwritable(&log, error))?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let unstarted = |error| failed("the tool does not start", "").because(error);
    let mut child = apart(&mut command).spawn().map_err(unstarted)?;
    // The guard removes no files: half an installation does not count as one, and the next
    // installation continues it.
    let mut guard = match guard(child.id(), None) {
        Ok(guard) => guard,
        Err(error) => {
            end(&mut child);
            return Err(unstarted(error));
        }
    };
    let status = until(Instant::now() + PATIENCE, || child.try_wait().ok().flatten());
    if status.is_none() {
        // The guard ends the tool, and what the tool has begun.
        drop(guard.stdin.take());
        let _ = guard.wait();
        let _ = child.wait();
    } else {
        // After the tool: the guard's number to kill must not be another process by then.
        end(&mut guard);
    }
    let log = || fs::read_to_string(&log).unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(failed(&format!("the tool ended with {status}"), &log())),
        None => Err(failed("the tool took too long", &log())),
    }
}

/// The tool that Java Nacos lacks: Maven fetches it, Java runs it.
fn missing_tool(java: bool, maven: bool, installed: bool) -> Option<&'static str> {
    match (java, maven || installed) {
        (false, _) => Some("java"),
        (true, false) => Some("mvn"),
        (true, true) => None,
    }
}

fn missing(product: Product, tool: &str) -> Error {
    let text = format_args!("{product} needs `{tool}`, which is not on this machine");
    Error::new(ErrorKind::Unavailable, text)
}

fn not_installed(product: Product) -> Error {
    let name = product.name();
    let text = format_args!(
        "{product} is not installed here: `cargo run -p servers -- install {name}` does that"
    );
    Error::new(ErrorKind::Unavailable, text)
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Machine, format_args!("cannot write {}", path.display())).because(error)
}

const POM: &str = include_str!("../java/pom.xml");

/// Five times what it took on two cores.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;
    use crate::folder::Folder;
    use crate::process::tests::{ignored, is_alive};

    #[test]
    fn what_is_not_installed_is_unavailable_and_says_how_to_get_it() {
        let empty = Folder::create(&env::temp_dir(), "install").expect("a directory");
        let error = r_nacos(empty.path()).expect_err("nothing there");
        assert!(error.is_unavailable());
        assert!(error.to_string().contains("install r-nacos"), "{error}");
        assert!(java_nacos(empty.path()).expect_err("nothing there").is_unavailable());
    }

    #[test]
    fn java_nacos_is_skipped_for_a_missing_tool_only() {
        assert_eq!(missing_tool(true, true, false), None, "not installed is no obstacle");
        assert_eq!(missing_tool(true, false, true), None);
        assert_eq!(missing_tool(true, false, false), Some("mvn"));
        assert_eq!(missing_tool(false, true, true), Some("java"));
    }

    #[test]
    fn half_an_installation_is_none() {
        let home = Folder::create(&env::temp_dir(), "install").expect("a directory");
        fs::create_dir(home.path().join("bin")).expect("made");
        fs::write(home.path().join("bin/rnacos"), "").expect("written");
        assert!(r_nacos(home.path()).is_err(), "cargo has not noted it yet");
        let noted = "[v1]\n\"rnacos 0.8.8 (registry+somewhere)\" = [\"rnacos\"]\n";
        fs::write(home.path().join(".crates.toml"), noted).expect("written");
        assert!(r_nacos(home.path()).is_ok());
    }

    #[test]
    fn failing_tool_is_quoted() {
        let home = Folder::create(&env::temp_dir(), "install").expect("a directory");
        let mut command = Command::new("sh");
        command.args(["-c", "echo no route to host; exit 1"]);
        let error = run(Product::RNacos, command, home.path()).expect_err("it fails");
        assert!(!error.is_unavailable(), "no reason to skip");
        assert!(error.to_string().contains("no route to host"), "{error}");
    }

    /// Run by the next test, in a process of its own.
    #[test]
    #[ignore = "waits for its end"]
    fn installation_that_is_killed() {
        let home = PathBuf::from(env::var_os("INSTALLS_INTO").expect("set by the next test"));
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo $! $$; wait"]);
        let ended = run(Product::RNacos, command, &home);
        assert!(ended.is_err(), "it was to be killed");
    }

    #[test]
    fn tool_ends_with_an_installation_that_is_killed() {
        let home = Folder::create(&env::temp_dir(), "install").expect("a directory");
        let name = "install::tests::installation_that_is_killed";
        let mut installing = ignored(name, &[("INSTALLS_INTO", home.path())]);
        let deadline = Instant::now() + Duration::from_secs(30);
        let numbers = || {
            let log = fs::read_to_string(home.path().join("install.log")).ok()?;
            let log = log.strip_suffix('\n')?;
            log.split(' ').map(|number| number.parse::<u32>().ok()).collect::<Option<Vec<_>>>()
        };
        let numbers = until(deadline, numbers).expect("it has started its tool");
        // As the system does when memory is short: nothing of it is dropped.
        installing.kill().expect("it runs");
        installing.wait().expect("it is ours");
        let deadline = Instant::now() + Duration::from_secs(30);
        let gone = || numbers.iter().all(|number| !is_alive(*number)).then_some(());
        until(deadline, gone).expect("the tool is gone, and what it had started");
    }

    #[test]
    fn pom_and_product_name_one_version() {
        assert!(POM.contains(&format!("<version>{}</version>", Product::JavaNacos.version())));
    }
}
