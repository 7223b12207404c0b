#if os(Linux)
    import Glibc

    /// A process that a measurement started and ends again: by its id, never by a name. Ends it when it is released, too.
    ///
    /// Owned by one thread; that thread must outlive the child, which ends with it.
    final class ChildProcess {
        let id: pid_t
        private var hasEnded = false

        /// Starts `arguments[0]`, a path, with nothing on its standard input and its output thrown away, or in `output`.
        ///
        /// - Throws: ``BenchFailure/cannotStart(_:_:)``.
        init(_ arguments: [String], output: String = "/dev/null", appending: Bool = false) throws(BenchFailure) {
            // If we are killed outright nobody is left to end it: then the kernel does.
            let wrapper = "/usr/bin/setpriv"
            let words = access(wrapper, X_OK) == 0 ? [wrapper, "--pdeathsig", "KILL", "--"] + arguments : arguments
            var actions = posix_spawn_file_actions_t()
            posix_spawn_file_actions_init(&actions)
            defer { posix_spawn_file_actions_destroy(&actions) }
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
            posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | (appending ? O_APPEND : O_TRUNC), 0o600)
            posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
            var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
            defer { for pointer in pointers { free(pointer) } }
            var id: pid_t = 0
            let error = posix_spawn(&id, words[0], &actions, nil, &pointers, environ)
            guard error == 0 else { throw .cannotStart(arguments[0], errno: error) }
            self.id = id
        }

        deinit { end(within: 2) }

        /// Whether it has ended by itself.
        func checkEnded() -> Bool {
            if !hasEnded { hasEnded = waitpid(id, nil, WNOHANG) != 0 }
            return hasEnded
        }

        /// Waits for it to end by itself.
        func wait(seconds: Double) -> Bool {
            let deadline = Stopwatch.now() + seconds
            while !checkEnded() {
                guard Stopwatch.now() < deadline else { return false }
                usleep(2_000)
            }
            return true
        }

        /// Asks it to end, waits, and then insists.
        func end(within seconds: Double) {
            guard !checkEnded() else { return }
            kill(id, SIGTERM)
            guard !wait(seconds: seconds) else { return }
            kill(id, SIGKILL)
            waitpid(id, nil, 0)
            hasEnded = true
        }
    }

    /// Why a measurement could not be made.
    enum BenchFailure: Error, Hashable, Sendable {
        case cannotStart(String, errno: Int32)
        /// A system call, and what it answered.
        case call(String, errno: Int32)
        /// The other side went away, or never came.
        case peerLost(String)
        case tooSlow(String, seconds: Double)
        /// The arguments make no sense together.
        case pointless(String)
    }

    /// Seconds on the clock that only goes forward.
    enum Stopwatch {
        static func now() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_MONOTONIC, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
        }
    }
#endif
