import CZMQ
import Foundation
package import Logging
import Messaging

/// What every executable does first and last.
package enum Lifecycle {
    /// A closed pipe is an error of the write, not the end of the process. Call first in every executable.
    package static func ignoreBrokenPipes() { signal(SIGPIPE, SIG_IGN) }

    /// Leaves no core when it crashes: it would hold keys, and in the agent and in policy what people typed. Call first in every executable.
    package static func leaveNoCore() {
        #if os(Linux)
        // The limit alone is not asked where cores are piped to a program.
        _ = sluice_be_undumpable()
        let cores = __rlimit_resource_t(RLIMIT_CORE.rawValue)
        #else
        let cores = RLIMIT_CORE
        #endif
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        setrlimit(cores, &none)
    }

    /// Blocks SIGINT and SIGTERM for this thread and all that it starts, so that ``waitForSignal()`` gets them.
    package static func holdSignals() {
        ignoreBrokenPipes()
        leaveNoCore()
        var set = Lifecycle.signals
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Waits for SIGINT or SIGTERM. Call on a thread that may block.
    @discardableResult
    package static func waitForSignal() -> Int32 {
        var set = Lifecycle.signals
        var number: Int32 = 0
        while sigwait(&set, &number) != 0 {}
        return number
    }

    private static var signals: sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGINT)
        sigaddset(&set, SIGTERM)
        return set
    }

    /// Ends this process when `parent` does: a suite whose supervisor was killed must not go on unsupervised.
    package static func endWith(parent: Int32?) {
        guard let parent else { return }
        #if os(Linux)
        sluice_end_with_parent()
        if getppid() != parent { exit(3) }
        #endif
    }

    /// Raises the soft limit on open files to the hard one: an ingest holds one for each agent.
    package static func raiseFileLimit() {
        var limit = rlimit()
        #if os(Linux)
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let files = RLIMIT_NOFILE
        #endif
        guard getrlimit(files, &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(files, &limit)
    }

    /// What a thread gets whose maker asks for nothing else: those of Swift's pool do not.
    package static var threadStackBytes: Int {
        var attributes = pthread_attr_t()
        guard pthread_attr_init(&attributes) == 0 else { return 8 << 20 }
        defer { pthread_attr_destroy(&attributes) }
        var bytes = 0
        return pthread_attr_getstacksize(&attributes, &bytes) == 0 ? bytes : 8 << 20
    }

    /// Lowers both limits for good: no memory beyond `bytes`, no more than `files` open. What cannot be lowered stays as it was.
    ///
    /// What counts is memory that can be written to (`RLIMIT_DATA`), not address space, of which Swift and glibc reserve far more than they use.
    package static func limit(memory bytes: Int, files: Int) {
        #if os(Linux)
        lower(__rlimit_resource_t(RLIMIT_DATA.rawValue), to: bytes)
        lower(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), to: files)
        #else
        lower(RLIMIT_DATA, to: bytes)
        lower(RLIMIT_NOFILE, to: files)
        #endif
    }

    #if os(Linux)
    private typealias Resource = __rlimit_resource_t
    #else
    private typealias Resource = Int32
    #endif

    private static func lower(_ resource: Resource, to value: Int) {
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return }
        limit.rlim_cur = min(limit.rlim_max, rlim_t(value))
        limit.rlim_max = limit.rlim_cur
        setrlimit(resource, &limit)
    }

    /// How many files may be open.
    package static var fileLimit: Int {
        var limit = rlimit()
        #if os(Linux)
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #else
        let files = RLIMIT_NOFILE
        #endif
        return getrlimit(files, &limit) == 0 ? Int(clamping: limit.rlim_cur) : 1_024
    }

    /// How many files are open, of the first ``fileLimit``.
    package static var openFiles: Int {
        #if os(Linux)
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0
        #else
        (0..<Int32(clamping: fileLimit)).count { fcntl($0, F_GETFD) >= 0 }
        #endif
    }

    /// Lowers this process's priority: control comes before ingest when both want the processor.
    package static func lowerPriority(to nice: Int32) {
        #if os(Linux)
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, nice)
        #else
        setpriority(PRIO_PROCESS, 0, nice)
        #endif
    }

    package static func logger(_ name: String) -> Logger {
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        var logger = Logger(label: name)
        logger.logLevel = .info
        return logger
    }
}

/// Fault points for tests: `SLUICE_FAULT=name:n` ends the process at the n-th passage, as kill -9 would (FAULTS: P02);
/// `stop@name:n` stops it there, as SIGSTOP would, until somebody sends SIGCONT (P04).
package enum FaultPoint {
    // Set before any thread is started; after that one thread passes each name, and only tests arm it.
    nonisolated(unsafe) private static var armed: (name: String, left: Int, stops: Bool)? = nil

    /// Reads the environment. Call once, before any thread is started.
    package static func arm(_ setting: String?) {
        guard let setting, let colon = setting.lastIndex(of: ":"), let count = Int(setting[setting.index(after: colon)...]) else { return }
        let stops = setting.hasPrefix("stop@")
        armed = (String(setting[..<colon].dropFirst(stops ? 5 : 0)), count, stops)
    }

    /// Each name is passed by one thread only.
    package static func pass(_ name: StaticString) {
        guard let point = armed, point.name == name.description else { return }
        armed = (point.name, point.left - 1, point.stops)
        if point.stops, point.left == 1 {
            // To this thread, so that it stops here and not a moment later.
            _ = raise(SIGSTOP)
        } else if !point.stops, point.left <= 1 {
            _exit(137)
        }
    }
}
