import Gate
import Messaging
import Testing

struct SteadySemaphoreTests {
    @Test func `each signal lets one wait pass, whenever it came`() {
        let semaphore = SteadySemaphore()
        for _ in 0..<3 { semaphore.signal() }
        for _ in 0..<3 { #expect(semaphore.wait()) }
        #expect(!semaphore.wait(atMost: .zero) && !semaphore.wait(atMost: .milliseconds(2)) && !semaphore.wait(atMost: .zero - .seconds(1)))
        semaphore.signal()
        #expect(semaphore.wait(atMost: .seconds(3_600)))
        #expect(!semaphore.wait(atMost: .zero))
    }

    @Test func `whoever waits is woken by another thread`() {
        let (there, back) = (SteadySemaphore(), SteadySemaphore())
        startThread("echo") {
            for _ in 0..<100 {
                there.wait()
                back.signal()
            }
        }
        for _ in 0..<100 {
            there.signal()
            #expect(back.wait(atMost: .seconds(60)))
        }
    }
}
