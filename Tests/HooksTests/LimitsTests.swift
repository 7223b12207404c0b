import Testing

@testable import sluice_hooks

struct LimitsTests {
    /// What remains for bodies and everything else, when each core has its threads.
    private func left(_ cores: Int, stackBytes: Int) -> Int { HooksService.memoryMax(cores: cores, stackBytes: stackBytes) - 2 * cores * stackBytes }

    @Test(arguments: [1, 2, 20, 24, 64, 256], [1 << 20, 8 << 20, 64 << 20]) func `however many cores there are, the stacks of their threads leave room for every body`(_ cores: Int, _ stackBytes: Int) {
        #expect(left(cores, stackBytes: stackBytes) >= 2 * HookServer.connectionsMax * HookServer.bodyBytesMax + (128 << 20))
    }

    @Test func `on a small machine the bound is one`() { #expect(HooksService.memoryMax(cores: 2, stackBytes: 8 << 20) < 512 << 20) }
}
