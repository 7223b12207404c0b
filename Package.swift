// swift-tools-version: 6.1

import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

/// A library of `Shared`, or an executable of `Services`: one folder, one reason to exist.
func shared(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, path: "Shared/\(name)", exclude: texts[name] ?? [], swiftSettings: strict)
}
func service(_ name: String, folder: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies + ["Chassis", argumentParser], path: "Services/\(folder)", swiftSettings: strict)
}
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, path: "Tests/\(name)", swiftSettings: strict)
}

let protos = ["capture.proto", "gate.proto", "governance.proto", "release.proto", "session.proto"]
/// What lies in a library's folder for people, or for other languages.
let texts = ["Wire": protos + ["SPEC.md"], "Identity": ["THREATS.md"]]
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let webServer: [Target.Dependency] = [
    // It has a `Tracing` too, and no program can have two.
    .product(name: "Hummingbird", package: "hummingbird", moduleAliases: ["Tracing": "DistributedTracing"]),
    .product(name: "HummingbirdCore", package: "hummingbird"), .product(name: "HTTPTypes", package: "swift-http-types"),
    .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
    .product(name: "NIOHTTPTypes", package: "swift-nio-extras"), .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
]
let mustache: Target.Dependency = .product(name: "Mustache", package: "swift-mustache")
let histogram: Target.Dependency = .product(name: "Histogram", package: "hdrhistogram-swift")

let package = Package(
    name: "sluice",
    platforms: [.macOS(.v15)],
    products: [
        .executable(name: "sluice", targets: ["sluice"]),
        .executable(name: "sluice-agent", targets: ["sluice-agent"]),
        .executable(name: "sluice-control", targets: ["sluice-control"]),
        .executable(name: "sluice-ingest", targets: ["sluice-ingest"]),
        .executable(name: "sluice-policy", targets: ["sluice-policy"]),
        .executable(name: "sluice-notify", targets: ["sluice-notify"]),
        .executable(name: "sluice-hooks", targets: ["sluice-hooks"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        // Its server alone; what it can read of settings and files we do without.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/hummingbird-project/swift-mustache", from: "2.1.1"),
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    ],
    targets: [
        .systemLibrary(name: "CZMQ", path: "Shared/CZMQ", providers: [.apt(["libzmq3-dev"])]),
        .systemLibrary(name: "CZstd", path: "Shared/CZstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CZlib", path: "Shared/CZlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CVectorscan", path: "Shared/CVectorscan", providers: [.apt(["libvectorscan-dev"])]),
        .systemLibrary(name: "CPCRE2", path: "Shared/CPCRE2", providers: [.apt(["libpcre2-dev"])]),
        .systemLibrary(name: "CCurl", path: "Shared/CCurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CIDN2", path: "Shared/CIDN2", providers: [.apt(["libidn2-dev"])]),

        .systemLibrary(name: "CSodium", path: "Shared/CSodium", providers: [.apt(["libsodium-dev"])]),
        // Linked by ingest alone, whose memory is ten thousand connections'.
        .target(name: "CJemalloc", path: "Shared/CJemalloc", linkerSettings: [.linkedLibrary("jemalloc")]),
        .systemLibrary(name: "CLinux", path: "Shared/CLinux"),

        // The ground floor: decides, and imports no protobuf, socket, clock or disk.
        shared("Gate"),
        shared("Rules", ["Gate"]),
        // Who could have read what, and who did, from the ledgers' own values. Pure, so that anybody who has them can compute it again.
        shared("Exposure", ["Gate", "Rules"]),
        // Text as people write it: the one place that parses YAML. Agents read a policy's canonical form, and do without.
        shared("YAML", ["Rules", yams]),
        // What is in a text. Pure but for the memory of two matchers; its rules are data, and part of the program.
        .target(
            name: "Detection", dependencies: ["Gate", "Rules", "CVectorscan", "CPCRE2", crypto], path: "Shared/Detection",
            resources: [.embedInCode("Detection.rules")], swiftSettings: strict),
        // What may be kept of an event: the policy document put to work, on workstations and in policy alike.
        shared("Enforcement", ["Detection", "Gate", "Rules"]),
        // Events that name the release that they left with, and how a file is searched for them. Pure, as the ground floor is, but for hashes.
        shared("Tracing", ["Gate", "Rules", crypto]),
        // Bytes.
        shared("Wire", ["Gate", "Rules", "CZstd", protobuf]),
        shared("Messaging", ["Wire", "CZMQ"]),
        // Who somebody is, and whether they said it.
        shared("Identity", ["Gate", "Messaging", crypto, cryptoExtras, asn1]),
        // Alone sees the keys of batches: agents seal, policy opens.
        shared("Seal", ["Gate", crypto]),
        // What systems say to each other over HTTP, signed: notify signs, and the doors for reports check.
        shared("Webhooks", ["Gate", crypto]),
        // A mail as bytes, and where it may go. Pure: who sends it is notify.
        shared("Mail", ["Gate", "Rules", "CIDN2"]),
        // What somebody is told of an incident, in their own words; the pages are part of the program.
        .target(
            name: "Notices", dependencies: ["Exposure", "Gate", "Ledger", "Mail", "Rules", "Wire", mustache, protobuf], path: "Shared/Notices",
            resources: ["notice-en-html", "notice-en-text", "notice-de-html", "notice-de-text", "style-html", "subject-de", "subject-en", "receipt-en-html", "receipt-en-text", "receipt-de-html", "receipt-de-text"].map { .embedInCode("Templates/\($0).mustache") },
            swiftSettings: strict),
        shared("Vault", ["Gate", grdb, crypto]),
        // What was decided, in an order that nobody can change unseen.
        shared("Ledger", ["Identity", "Vault", crypto, grdb]),
        shared("Chassis", ["Gate", "Rules", "Tracing", "Wire", "Messaging", "Identity", "Ledger", "Seal", "Vault", "CZMQ", crypto, protobuf, logging, argumentParser]),

        service("sluice-control", folder: "Control", ["Gate", "Rules", "Wire", "Messaging", "Identity", "Ledger", "Vault", grdb, crypto, protobuf]),
        service("sluice-ingest", folder: "Ingest", ["Gate", "Rules", "Wire", "Messaging", "Identity", "CJemalloc", histogram, protobuf]),
        service("sluice-policy", folder: "Policy", ["Detection", "Enforcement", "Gate", "Rules", "Tracing", "Wire", "Messaging", "Identity", "Ledger", "Seal", "Vault", "CCurl", grdb, crypto, protobuf]),
        service("sluice-notify", folder: "Notify", ["Gate", "Rules", "Wire", "Messaging", "Identity", "Ledger", "Mail", "Notices", "Vault", "Webhooks", "CCurl", grdb, crypto, protobuf]),
        service("sluice-hooks", folder: "Hooks", ["Gate", "Rules", "Wire", "Messaging", "Identity", "Webhooks", "YAML", grdb, crypto, logging, protobuf] + webServer),
        service("sluice-agent", folder: "Agent", ["Detection", "Enforcement", "Gate", "Rules", "Wire", "Messaging", "Identity", "Ledger", "Seal", "Vault", "CZlib", grdb, crypto, protobuf]),
        service("sluice", folder: "CLI", ["Detection", "Enforcement", "Exposure", "Gate", "Rules", "Tracing", "Wire", "Messaging", "Identity", "Ledger", "Mail", "Notices", "Seal", "Vault", "YAML", "CLinux", "CSodium", "CZlib", "CZstd", "CZMQ", crypto, grdb, histogram, protobuf]),

        // What several folders of tests need.
        .target(name: "Chance", path: "Tests/Chance", swiftSettings: strict),
        tests("GateTests", ["Chance", "Gate"]),
        tests("RulesTests", ["Chance", "Gate", "Rules", "YAML"]),
        tests("ExposureTests", ["Chance", "Exposure", "Gate", "Rules"]),
        tests("DetectionTests", ["Detection", "Gate", "Rules", "CZlib"]),
        tests("EnforcementTests", ["Detection", "Enforcement", "Gate", "Rules"]),
        tests("TracingTests", ["Chance", "Gate", "Rules", "Tracing", "Wire"]),
        tests("WireTests", ["Gate", "Rules", "Wire", "CZlib", protobuf]),
        tests("MessagingTests", ["Gate", "Messaging", "Wire", "CZMQ"]),
        tests("IdentityTests", ["Gate", "Identity", crypto]),
        tests("SealTests", ["Gate", "Seal", crypto]),
        tests("VaultTests", ["Gate", "Vault", grdb]),
        tests("AgentTests", ["sluice-agent", "Chassis", "Detection", "Gate", "Ledger", "Messaging", "Rules", "Seal", "Vault", "Wire", crypto, grdb, logging, protobuf]),
        tests("IngestTests", ["sluice-ingest", "Chassis", "Gate", "Rules", "Wire", protobuf]),
        tests("PolicyTests", ["sluice-policy", "Chassis", "Detection", "Enforcement", "Gate", "Identity", "Ledger", "Messaging", "Rules", "Seal", "Tracing", "Vault", "Wire", crypto, grdb, protobuf]),
        tests("MailTests", ["Gate", "Mail"]),
        tests("NoticesTests", ["Exposure", "Gate", "Ledger", "Mail", "Notices", "Rules", "Wire", crypto, protobuf]),
        tests("LedgerTests", ["Ledger", "Vault", crypto, grdb]),
        tests("ChassisTests", ["Chassis", "Gate", "Rules", "Identity", "Ledger", "Messaging", "Wire", crypto, logging, protobuf]),
        tests("NotifyTests", ["sluice-notify", "Chance", "Chassis", "Gate", "Identity", "Ledger", "Mail", "Messaging", "Notices", "Rules", "Webhooks", "Wire", grdb, protobuf]),
        tests("HooksTests", ["sluice-hooks", "Gate", "Messaging", "Rules", "Webhooks", "Wire", "YAML", crypto, grdb, logging] + webServer),
        tests("ControlTests", ["sluice-control", "Chassis", "Gate", "Identity", "Ledger", "Messaging", "Rules", "Wire", crypto, grdb, protobuf]),
        tests("TidyTests", []),
    ],
    swiftLanguageModes: [.v6]
)
