import Foundation

/// An organisation's own templates: files `NAME.mustache` in a folder, each instead of the one of its name that comes with Sluice, or a part that one of them includes.
extension NoticeTemplates {
    /// Octets of a file. A page has some thousands.
    private static let fileBytesMax = 256 * 1024
    private static let filesMax = 100
    private static let ending = ".mustache"

    /// - Parameter folder: nil: those that come with it.
    /// - Throws: the first mistake: nothing of a folder is used that is not right as a whole.
    package init(folder: String?) throws(TemplateRefused) {
        guard let folder else {
            try self.init()
            return
        }
        try self.init(try NoticeTemplates.texts(in: folder))
    }

    private static func texts(in folder: String) throws(TemplateRefused) -> [String: String] {
        let files: [String]
        do { files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { !$0.hasPrefix(".") && $0.hasSuffix(ending) }.sorted() } catch {
            throw .folder(folder, why: "it cannot be read: name a folder that exists")
        }
        guard !files.isEmpty else { throw .folder(folder, why: "no file in it ends in \(ending): leave it out, or put a template there") }
        guard files.count <= filesMax else { throw .folder(folder, why: "it has \(files.count) templates, and \(filesMax) is the most") }
        var texts: [String: String] = [:]
        for file in files {
            guard let handle = FileHandle(forReadingAtPath: "\(folder)/\(file)"), let bytes = try? handle.read(upToCount: fileBytesMax + 1) else { throw .folder("\(folder)/\(file)", why: "it cannot be read, or is empty") }
            guard bytes.count <= fileBytesMax else { throw .folder("\(folder)/\(file)", why: "it is longer than \(fileBytesMax) bytes") }
            guard let text = String(validating: bytes, as: UTF8.self), !text.unicodeScalars.contains("\0") else { throw .folder("\(folder)/\(file)", why: "it is no text in UTF-8") }
            texts[String(file.dropLast(ending.count))] = text
        }
        return texts
    }
}
