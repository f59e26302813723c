//! How far a build of a stack is, read off the lines its package tools write.

/// The steps of a build, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Waiting for another build that makes the same, or holds its place.
    Wait,
    /// Reading the host's settings and checking what is needed.
    Check,
    /// Fetching and installing the packages that dynos run on.
    RunPackages,
    /// Laying files over them.
    RunFinish,
    /// Fetching and installing what builds need besides.
    BuildPackages,
    /// Fetching an image.
    Fetch,
    /// Unpacking what dynos run on.
    Unpack,
    /// Unpacking what builds see.
    BuildUnpack,
    /// Making it durable and visible.
    Publish,
}

impl Phase {
    /// Where the phase begins and ends, in percent of a whole build, as measured on two cores.
    const fn share(self) -> (u8, u8) {
        match self {
            Self::Wait => (0, 0),
            Self::Check => (0, 1),
            Self::RunPackages => (1, 60),
            Self::RunFinish => (60, 66),
            Self::BuildPackages => (66, 95),
            Self::Fetch => (1, 60),
            Self::Unpack => (60, 80),
            Self::BuildUnpack => (80, 95),
            Self::Publish => (95, 100),
        }
    }

    /// What happens, for people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Wait => "waiting for another build of it",
            Self::Check => "checking the host",
            Self::RunPackages => "installing the run variant",
            Self::RunFinish => "finishing the run variant",
            Self::BuildPackages => "installing the build variant",
            Self::Fetch => "fetching the image",
            Self::Unpack => "unpacking the run variant",
            Self::BuildUnpack => "unpacking the build variant",
            Self::Publish => "writing to disk",
        }
    }

    /// How far a whole build is when `done` of `count` equal parts of the phase are.
    pub(super) fn part(self, done: usize, count: usize) -> u8 {
        let (from, to) = self.share();
        let span = usize::from(to - from) * done.min(count) / count.max(1);
        from + u8::try_from(span).unwrap_or(to - from)
    }
}

/// Who is told how far a build is.
pub trait Progress {
    /// `percent` of the whole build is done (0 to 100, never less than before); `doing` is the newest thing of note, such as
    /// a package's name, possibly empty.
    fn update(&mut self, phase: Phase, percent: u8, doing: &str);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn update(&mut self, _phase: Phase, _percent: u8, _doing: &str) {}
}

/// Counts the steps of a package installation: each package is fetched, unpacked and set up.
#[derive(Debug)]
pub(super) struct Meter {
    phase: Phase,
    packages: u64,
    announced: u64,
    steps: u64,
    percent: u8,
}

impl Meter {
    /// A meter of a phase in which about `expected` packages are installed, before the tools say how many.
    pub(super) fn new(phase: Phase, expected: usize) -> Self {
        let packages = u64::try_from(expected).unwrap_or(u64::MAX).max(1);
        Self { phase, packages, announced: 0, steps: 0, percent: phase.share().0 }
    }

    /// The phase it measures.
    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes a line of output; says how far the build is if that changed, with what is being done.
    pub(super) fn line<'a>(&mut self, line: &'a str) -> Option<(u8, &'a str)> {
        let mut words = line.split_whitespace();
        let doing = match words.next()? {
            get if get.starts_with("Get:") => words.nth(3).unwrap_or_default(),
            "Unpacking" => words.next().unwrap_or_default(),
            "Setting" => words.nth(1).unwrap_or_default(),
            _ => {
                self.announced += newly_installed(line).unwrap_or(0);
                return None;
            }
        };
        self.steps += 1;
        let (from, to) = self.phase.share();
        let whole = (self.packages.max(self.announced) * 3).max(1);
        let span = u64::from(to - from);
        let reached = u64::from(from) + (self.steps.min(whole) * span / whole);
        self.percent = self.percent.max(u8::try_from(reached).unwrap_or(to));
        Some((self.percent, doing))
    }
}

/// The count in apt's `0 upgraded, 527 newly installed, ...`.
fn newly_installed(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(" upgraded, ")?;
    rest.split_once(" newly installed")?.0.parse().ok()
}

/// Tells that a phase has begun.
pub(super) fn begin(progress: &mut dyn Progress, phase: Phase) {
    progress.update(phase, phase.share().0, "");
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_phases_join_and_cover_the_whole() {
        let all = [Phase::Check, Phase::RunPackages, Phase::RunFinish, Phase::BuildPackages, Phase::Publish];
        assert_eq!(all[0].share().0, 0);
        assert_eq!(all[4].share().1, 100);
        for pair in all.windows(2) {
            assert_eq!(pair[0].share().1, pair[1].share().0);
        }
    }

    #[test]
    fn a_meter_climbs_to_the_end_of_its_phase_and_never_falls() {
        let mut meter = Meter::new(Phase::RunPackages, 2);
        let mut last = 0;
        let mut tell = |line: &str| {
            if let Some((percent, _)) = meter.line(line) {
                assert!(percent >= last);
                last = percent;
            }
            last
        };
        tell("0 upgraded, 4 newly installed, 0 to remove and 0 not upgraded.");
        for n in 0..4 {
            tell(&format!("Get:{n} http://deb.example suite/main amd64 bash amd64 5.2 [1 kB]"));
            tell("Unpacking bash (5.2) ...");
        }
        assert!(last_of(&mut tell) < 60);
        for _ in 0..4 {
            tell("Setting up bash (5.2) ...");
        }
        assert_eq!(last_of(&mut tell), 60);
    }

    fn last_of(tell: &mut dyn FnMut(&str) -> u8) -> u8 {
        tell("nothing of note")
    }

    #[test]
    fn what_is_being_done_is_the_packages_name() {
        let mut meter = Meter::new(Phase::BuildPackages, 10);
        let get = "Get:29 http://deb.example trixie/main amd64 findutils amd64 4.10.0-3 [700 kB]";
        assert_eq!(meter.line(get).map(|(_, doing)| doing), Some("findutils"));
        assert_eq!(meter.line("Setting up debconf (1.5.91) ...").map(|(_, doing)| doing), Some("debconf"));
    }
}
