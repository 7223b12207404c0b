import Foundation
import Gate
import Identity
import Messaging

/// Runs a program of the operator's that prints a key.
enum KeyCommand {
    /// A key in hexadecimal is 65 bytes.
    private static let bytesMax = 4_096

    /// What it wrote to its standard output. It must end by itself, with 0, in time.
    ///
    /// - Throws: `Complaint`.
    static func output(of command: String, seconds: Int) throws -> [UInt8] {
        let words = command.split(separator: " ").map(String.init)
        guard let program = words.first else { throw Complaint("the command for the master key is empty") }
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw Complaint("cannot run '\(program)': \(String(cString: strerror(errno)))") }
        defer { close(ends[0]) }
        let id: pid_t
        do throws(Complaint) { id = try spawn(words, output: ends[1]) } catch {
            close(ends[1])
            throw error
        }
        close(ends[1])
        let deadline = Clock.now() + Span.seconds(Int64(seconds))
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: bytesMax)
        defer { wipe(&buffer) }
        while true {
            var waiting = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
            let left = (deadline - Clock.now()).milliseconds
            let ready = left > 0 ? poll(&waiting, 1, Int32(clamping: left)) : 0
            if ready < 0, errno == EINTR { continue }
            guard ready > 0 else { throw give(up: id, &output, "'\(program)' gave no key within \(seconds) s: it was ended") }
            let count = read(ends[0], &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            output += buffer[..<count]
            guard output.count <= bytesMax else { throw give(up: id, &output, "'\(program)' printed more than a key") }
        }
        // It has closed its output; it may not have ended.
        var status: Int32 = 0
        while waitpid(id, &status, WNOHANG) == 0 {
            guard Clock.now() < deadline else { throw give(up: id, &output, "'\(program)' did not end within \(seconds) s: it was ended") }
            usleep(2_000)
        }
        guard status == 0 else {
            wipe(&output)
            let how = status & 0x7F == 0 ? "exit code \(status >> 8 & 0xFF)" : "signal \(status & 0x7F)"
            throw Complaint("'\(program)' ended with \(how): there is no master key")
        }
        return output
    }

    private static func give(up id: pid_t, _ output: inout [UInt8], _ why: String) -> Complaint {
        wipe(&output)
        // Its whole group: a script's children hold the pipe.
        kill(-id, SIGKILL)
        waitpid(id, nil, 0)
        return Complaint(why)
    }

    private static func spawn(_ words: [String], output: Int32) throws(Complaint) -> pid_t {
        #if os(Linux)
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        #else
        var actions: posix_spawn_file_actions_t?
        var attributes: posix_spawnattr_t?
        #endif
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        // Signals are as anybody finds them: a service holds some, and ignores one.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var pipes = sigset_t()
        sigemptyset(&pipes)
        sigaddset(&pipes, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &pipes)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var id: pid_t = 0
        let error = posix_spawnp(&id, words[0], &actions, &attributes, &pointers, environ)
        guard error == 0 else { throw Complaint("cannot run '\(words[0])': \(String(cString: strerror(error)))") }
        return id
    }
}
