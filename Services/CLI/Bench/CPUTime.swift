#if os(Linux)
    import Glibc

    /// The processor time that a process has used, all its threads together, children not counted.
    ///
    /// The kernel counts in ticks of 10 ms: measure over seconds. Source: proc(5).
    struct CPUTime: Sendable {
        /// In seconds.
        let user: Double
        let system: Double

        var total: Double { user + system }

        /// `nil` when there is no such process.
        init?(of process: pid_t) {
            // The name, in brackets, may hold spaces and brackets itself: the fields begin after the last one.
            guard let text = ProcessFile.text(of: "/proc/\(process)/stat"), let bracket = text.lastIndex(of: ")") else { return nil }
            let fields = text[text.index(after: bracket)...].split(separator: " ")
            // utime and stime are fields 14 and 15; the first after the name is field 3.
            guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return nil }
            let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
            self.init(user: user / ticks, system: system / ticks)
        }

        private init(user: Double, system: Double) {
            self.user = user
            self.system = system
        }

        static func - (later: CPUTime, earlier: CPUTime) -> CPUTime {
            CPUTime(user: later.user - earlier.user, system: later.system - earlier.system)
        }
    }

    /// What a process holds at this moment. Source: proc(5).
    enum ProcessFile {
        /// Memory in use, in bytes: VmRSS. `nil` when there is no such process.
        static func residentBytes(of process: pid_t) -> Int? { kilobytes("VmRSS:", of: process) }

        /// The most memory that it ever used, in bytes: VmHWM.
        static func residentBytesPeak(of process: pid_t) -> Int? { kilobytes("VmHWM:", of: process) }

        /// Open file descriptors. `nil` when there is no such process, or it belongs to somebody else.
        static func openFiles(of process: pid_t) -> Int? {
            guard let folder = opendir("/proc/\(process)/fd") else { return nil }
            defer { closedir(folder) }
            var count = 0
            while readdir(folder) != nil { count += 1 }
            // Two are "." and "..", and one more is our own look, if it was at ourselves.
            return count - 2 - (process == getpid() ? 1 : 0)
        }

        private static func kilobytes(_ key: String, of process: pid_t) -> Int? {
            guard let text = text(of: "/proc/\(process)/status") else { return nil }
            for line in text.split(separator: "\n") where line.hasPrefix(key) {
                let fields = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
                return fields.count > 1 ? Int(fields[1]).map { $0 * 1024 } : nil
            }
            return nil
        }

        fileprivate static func text(of path: String) -> String? {
            let file = open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { return nil }
            defer { close(file) }
            var bytes = [UInt8](repeating: 0, count: 16_384)
            let count = read(file, &bytes, bytes.count)
            return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
        }
    }
#endif
