//! A server's process, signals to it, and its end.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::launch::Launch;
use crate::wait::until;
use crate::{Error, ErrorKind};

/// A child process that cannot outlive its owner.
///
/// Drop kills it. A test run that is itself killed drops nothing, so a guard process waits beside
/// it for the end of our pipe, kills the server then and removes its directory.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    guard: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it in `folder`, its output going to `log`.
    pub(crate) fn spawn(launch: &Launch, folder: &Path, log: &Path) -> Result<Self, Error> {
        let refused = |error: io::Error| {
            let text = format_args!("cannot start {}", launch.program.display());
            Error::new(ErrorKind::Machine, text).because(error)
        };
        let output = File::create(log).map_err(refused)?;
        let errors = output.try_clone().map_err(refused)?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.args)
            .env_clear()
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let mut child = apart(&mut command).spawn().map_err(refused)?;
        match guard(child.id(), Some(folder)) {
            Ok(guard) => Ok(Self { child, guard, log: log.to_path_buf() }),
            Err(error) => {
                end(&mut child);
                Err(refused(error))
            }
        }
    }

    /// Kills it at once, as a loss of power would.
    pub(crate) fn kill(mut self) {
        // All of it stands in `drop`.
        end(&mut self.child);
    }

    /// Asks it to leave, and kills it when it has not left in time.
    pub(crate) fn stop(mut self, patience: Duration) -> Result<(), Error> {
        // A frozen process would not see the request.
        self.signal(Signal::Continue)?;
        self.signal(Signal::Terminate)?;
        until(Instant::now() + patience, || self.exited());
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        // The shell's own `kill`: the program of that name is not everywhere.
        let script = format!("kill -s {} {}", signal.name(), self.child.id());
        let sent = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(Error::new(
                ErrorKind::NotRunning,
                format_args!("no process for {}\n{}", signal.name(), self.log_end()),
            )),
            Err(error) => Err(Error::new(ErrorKind::Machine, "cannot run `sh`").because(error)),
        }
    }

    /// How it ended, if it has.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        // An error would mean that the child is not ours; then `signal` says so.
        self.child.try_wait().ok().flatten()
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        read_log(&self.log)
    }

    /// The last lines of what it wrote, for an error's text.
    pub(crate) fn log_end(&self) -> String {
        last_lines(&self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
        // After the server: the guard's number to kill must not be another process by then.
        end(&mut self.guard);
    }
}

/// The signals that a process can be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Continue,
    Freeze,
    Terminate,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Continue => "CONT",
            Self::Freeze => "STOP",
            Self::Terminate => "TERM",
        }
    }
}

/// The text of a log; no server promises that it is UTF-8.
pub(crate) fn read_log(path: &Path) -> String {
    // A log that cannot be read has nothing to quote, and must not hide the error that quotes it.
    let written = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&written).into_owned()
}

/// The last lines of a log, indented for quoting.
pub(crate) fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let skipped = lines.len().saturating_sub(QUOTED);
    let quoted: Vec<String> =
        lines.iter().skip(skipped).map(|line| format!("  | {line}")).collect();
    quoted.join("\n")
}

/// Ends with our end of its pipe, which the system closes whatever becomes of us. Then it kills
/// `leader`, which was started [`apart`], with all that has come of it, and removes `folder`.
pub(crate) fn guard(leader: u32, folder: Option<&Path>) -> io::Result<Child> {
    let script = r#"read -r _; kill -s KILL -- "-$1"; [ -z "$2" ] || rm -rf -- "$2""#;
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "guard", &leader.to_string()])
        .arg(folder.unwrap_or(Path::new("")))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    apart(&mut command).spawn()
}

/// Outside the terminal's group: an interrupt typed at the tests must reach us only, or the guard
/// is gone before it is needed.
pub(crate) fn apart(command: &mut Command) -> &mut Command {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command
}

pub(crate) fn end(child: &mut Child) {
    // Either fails only for a child that has ended and been waited for.
    let _ = child.kill();
    let _ = child.wait();
}

/// Enough to see a stack trace's head and what led to it.
const QUOTED: usize = 20;

#[cfg(test)]
pub(crate) mod tests {
    use std::env;
    use std::io::{BufRead, BufReader, Read};

    use nacos_testkit::TimeLimit;

    use super::*;
    use crate::folder::Folder;

    #[test]
    fn output_is_kept_and_exit_is_seen() {
        let folder = Folder::create(&env::temp_dir(), "process").expect("a directory");
        let mut process = shell(&folder, "echo hello; exit 3");
        let deadline = Instant::now() + PATIENCE;
        let status = until(deadline, || process.exited()).expect("it ends by itself");
        assert_eq!(status.code(), Some(3));
        assert_eq!(process.log_end(), "  | hello");
    }

    #[test]
    fn environment_is_the_given_one_only() {
        let folder = Folder::create(&env::temp_dir(), "process").expect("a directory");
        let mut process = shell(&folder, "echo $HOME $GIVEN");
        until(Instant::now() + PATIENCE, || process.exited()).expect("it ends by itself");
        assert_eq!(process.log().trim(), "yes");
    }

    #[test]
    fn frozen_process_can_be_asked_to_leave() {
        let folder = Folder::create(&env::temp_dir(), "process").expect("a directory");
        let process = shell(
            &folder,
            "trap 'echo left > left; exit' TERM; echo up; while :; do sleep 0.1; done",
        );
        until(Instant::now() + PATIENCE, || (process.log() == "up\n").then_some(())).expect("up");
        process.signal(Signal::Freeze).expect("frozen");
        process.stop(PATIENCE).expect("stopped");
        assert!(folder.path().join("left").exists());
    }

    #[test]
    fn deaf_process_is_killed() {
        let folder = Folder::create(&env::temp_dir(), "process").expect("a directory");
        let process = shell(&folder, "trap '' TERM; echo $$; while :; do sleep 0.1; done");
        let id = until(Instant::now() + PATIENCE, || process.log().trim().parse::<u32>().ok());
        let id = id.expect("its number");
        process.stop(Duration::from_millis(100)).expect("stopped");
        assert!(!is_alive(id));
    }

    #[test]
    fn guard_ends_the_server_and_removes_its_directory_when_we_are_gone() {
        let folder = Folder::create(&env::temp_dir(), "process").expect("a directory");
        let mut process = shell(&folder, "while :; do sleep 0.1; done");
        // The system closes this pipe, too, when this process dies.
        drop(process.guard.stdin.take());
        until(Instant::now() + PATIENCE, || process.exited()).expect("killed");
        until(Instant::now() + PATIENCE, || (!folder.path().exists()).then_some(())).expect("gone");
    }

    /// Run by the next test, in a process of its own.
    #[test]
    #[ignore = "waits for its end"]
    fn process_that_is_killed() {
        let _limit = TimeLimit::start();
        let folder = Folder::create(&env::temp_dir(), "process").expect("a directory");
        let server = shell(&folder, "while :; do sleep 0.1; done");
        println!("server {} in {}", server.child.id(), folder.path().display());
        wait_for_parent();
    }

    #[test]
    fn server_ends_with_a_process_of_tests_that_is_killed() {
        let _limit = TimeLimit::start();
        let mut tests = ignored("process::tests::process_that_is_killed", &[]);
        let mut printed = BufReader::new(tests.stdout.take().expect("piped")).lines();
        let (id, folder) = printed
            .find_map(|line| {
                let line = line.expect("text");
                let (id, folder) = line.split_once("server ")?.1.split_once(" in ")?;
                Some((id.parse::<u32>().expect("a number"), PathBuf::from(folder)))
            })
            .expect("it has started a server");
        assert!(is_alive(id));
        // As the system does when memory is short: nothing of it is dropped.
        end(&mut tests);
        let deadline = Instant::now() + PATIENCE;
        until(deadline, || (!is_alive(id)).then_some(())).expect("the server is gone, too");
        until(deadline, || (!folder.exists()).then_some(())).expect("and its directory");
    }

    #[test]
    fn quoted_log_is_its_end() {
        let lines: Vec<String> = (0..100).map(|line| line.to_string()).collect();
        let quoted = last_lines(&lines.join("\n"));
        assert!(quoted.starts_with("  | 80\n") && quoted.ends_with("  | 99"), "{quoted}");
        assert_eq!(last_lines(""), "");
    }

    fn shell(folder: &Folder, script: &str) -> Process {
        let launch = Launch {
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![("GIVEN".into(), "yes".into())],
            folders: &[],
        };
        Process::spawn(&launch, folder.path(), &folder.path().join("log")).expect("a shell")
    }

    /// Starts this ignored test in a process of its own, which ends with its pipe.
    pub(crate) fn ignored(name: &str, environment: &[(&str, &Path)]) -> Child {
        let mut command = Command::new(env::current_exe().expect("it runs"));
        command.args(["--exact", name, "--ignored", "--nocapture"]);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts")
    }

    /// Waits for the end of the pipe, which the death of the parent process closes.
    pub(crate) fn wait_for_parent() {
        // An error says the same.
        let _ = io::stdin().read_to_end(&mut Vec::new());
    }

    pub(crate) fn is_alive(id: u32) -> bool {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("kill -0 {id}")]).stderr(Stdio::null());
        shell.status().expect("a shell").success()
    }

    pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
}
