import Foundation
import Testing

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// A receiver behind TLS, with a certificate for 127.0.0.1 that it signed itself, `cert.pem` in its folder. Needs `openssl` and `python3`.
final class TLSServer {
    let port: UInt16
    private let process: pid_t

    static let isPossible = ["openssl", "python3"].allSatisfy { tool in
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains { access("\($0)/\(tool)", X_OK) == 0 }
    }

    /// - Parameters:
    ///   - hasExpired: its certificate has, years ago.
    ///   - script: Prints its port; its arguments are the files of the key and the certificate.
    init(folder: Folder, hasExpired: Bool = false, script: String = TLSServer.http) throws {
        let (key, certificate) = (folder["key.pem"], folder["cert.pem"])
        let made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=test", "-keyout", key]
        if hasExpired {
            // 'openssl req' dates none back.
            let (settings, request) = (folder["ca.cnf"], folder["request.pem"])
            let text = """
                [ca]
                default_ca = own
                [own]
                database = \(folder["index"])
                new_certs_dir = \((certificate as NSString).deletingLastPathComponent)
                rand_serial = yes
                default_md = sha256
                policy = names
                x509_extensions = more
                [names]
                commonName = supplied
                [more]
                subjectAltName = IP:127.0.0.1
                basicConstraints = CA:TRUE

                """
            try Data(text.utf8).write(to: URL(fileURLWithPath: settings))
            try Data().write(to: URL(fileURLWithPath: folder["index"]))
            try TLSServer.run(["openssl", "req", "-new", "-out", request] + made)
            try TLSServer.run([
                "openssl", "ca", "-batch", "-selfsign", "-notext", "-config", settings, "-startdate", "200101000000Z", "-enddate", "200102000000Z", "-keyfile", key, "-in", request, "-out", certificate,
            ])
        } else {
            try TLSServer.run(["openssl", "req", "-x509", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate] + made)
        }

        let server = try TLSServer.spawn(["python3", "-c", script, key, certificate])
        process = server.process
        port = try #require(UInt16(TLSServer.line(from: server.output)), "the server did not start")
    }

    /// Answers 204.
    static let http = """
        import http.server, ssl, sys
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers['content-length']))
                self.send_response(204)
                self.end_headers()
            def log_message(self, *_): pass
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Answer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[1])
        server.socket = context.wrap_socket(server.socket, server_side=True)
        print(server.server_port, flush=True)
        server.serve_forever()
        """

    deinit {
        kill(process, SIGKILL)
        _ = TLSServer.end(of: process)
    }

    private static func run(_ command: [String]) throws {
        let tool = try spawn(command)
        _ = line(from: tool.output)
        try #require(end(of: tool.process) == 0, "\(command.prefix(2).joined(separator: " ")) failed")
    }

    /// Starts a tool whose standard output can be read.
    private static func spawn(_ command: [String]) throws -> (process: pid_t, output: Int32) {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        defer { close(ends[1]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addclose(&actions, ends[0])
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var arguments = command.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process: pid_t = 0
        try #require(posix_spawnp(&process, command[0], &actions, nil, &arguments, environ) == 0)
        return (process, ends[0])
    }

    /// The first line, or what there is at the end.
    private static func line(from output: Int32) -> String {
        defer { close(output) }
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while read(output, &byte, 1) == 1, byte != UInt8(ascii: "\n") { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func end(of process: pid_t) -> Int32 {
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        return status
    }
}
