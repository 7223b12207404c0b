import Exposure
import Gate

/// What an exposure cannot say, to the person whose it is. Names of readers and the reasons of programs stay out.
extension NoticeLanguage {
    func words(of gap: Gap) -> String { self == .english ? english(gap) : german(gap) }

    /// - Parameter entries: of the ledger of reads; one at least.
    func unproven(_ entries: [UInt64]) -> String {
        let (shown, more) = (entries.prefix(NoticeLanguage.entriesMax).map { "\($0)" }, entries.count - NoticeLanguage.entriesMax)
        let isOne = entries.count == 1
        switch self {
        case .english:
            let names = list(shown + (more > 0 ? ["\(number(more)) more"] : []))
            return "Of the read\(isOne ? "" : "s") of \(isOne ? "entry" : "entries") \(names) there is no proof: what the record says of \(isOne ? "it" : "them") now, and so this notice, is not what a second service had confirmed."
        case .german:
            let names = list(shown + (more > 0 ? ["\(number(more)) weiteren"] : []))
            return "Für \(isOne ? "den Lesezugriff von Eintrag" : "die Lesezugriffe der Einträge") \(names) gibt es keinen Beweis: Was die Aufzeichnung jetzt darüber sagt, und damit diese Mitteilung, ist nicht, was ein zweiter Dienst bestätigt hatte."
        }
    }

    /// Who reads a page looks up no more.
    private static let entriesMax = 20

    private func english(_ gap: Gap) -> String {
        switch gap {
        case .policy(_, let period, _): "Which rules for reading were in force is not known for \(self.period(period)): more people may have been able to read."
        case .policyBefore(let at): "Which rules for reading were in force is not known before \(time(at))."
        case .reads: "The record of who read is damaged or not whole: there may have been reads that this notice does not show."
        case .governance: "The record of what was allowed is damaged or not whole: there may have been people who could read and are not counted."
        case .directoryUnknown: "Who worked in which team or site is not known: people who could read because of where they work, and had no key, are not counted."
        case .directoryBefore: "It is known where people work now, and not where they worked before: the number of people who could read may be off."
        case .keysUndated(let readers): "Since when \(number(readers.count)) of the keys may read is not on record: they are counted for the whole time."
        case .clockBack(let period, _): "A clock was set back: for \(self.period(period)) it is not certain which rules were in force."
        case .clockApart: "Two clocks disagreed: times of a read may be off."
        case .releasedBefore(let releases): "Before that time \(releases.count == 1 ? "there was 1 earlier read" : "there were \(number(releases.count)) earlier reads") of data of this kind, by the rules then in force; whether something of yours was in it, this notice does not say."
        case .notNamed(let releases): "\(releases.count == 1 ? "1 read" : "\(number(releases.count)) reads") covered so many people that the record does not name them: where you may be among them, it is shown as yours."
        case .notEnded(let releases): "Of \(releases.count == 1 ? "1 read" : "\(number(releases.count)) reads") the end is not on record: the most that it can have been is shown."
        case .holdingsFewer: "Some of what was there has been deleted since: there may have been more entries than are shown."
        case .erased: "Your data has been erased since: how much there was, nobody knows any more."
        case .placeUnknown: "Where your data was kept is not on record: who could read by place is counted as if they could read yours."
        }
    }

    private func german(_ gap: Gap) -> String {
        switch gap {
        case .policy(_, let period, _): "Welche Leseregeln galten, ist für die Zeit \(self.period(period)) nicht bekannt: Möglicherweise konnten mehr Personen lesen."
        case .policyBefore(let at): "Welche Leseregeln vor \(time(at)) galten, ist nicht bekannt."
        case .reads: "Die Aufzeichnung der Lesezugriffe ist beschädigt oder unvollständig: Es kann Zugriffe gegeben haben, die hier nicht stehen."
        case .governance: "Die Aufzeichnung der Erlaubnisse ist beschädigt oder unvollständig: Es kann Personen geben, die lesen konnten und nicht mitgezählt sind."
        case .directoryUnknown: "Wer in welchem Team oder an welchem Standort arbeitete, ist nicht bekannt: Wer deshalb lesen konnte und keinen Schlüssel hatte, ist nicht mitgezählt."
        case .directoryBefore: "Bekannt ist, wo Personen heute arbeiten, nicht, wo sie früher gearbeitet haben: Die Zahl derer, die lesen konnten, kann abweichen."
        case .keysUndated(let readers): "Seit wann \(number(readers.count)) der Schlüssel lesen dürfen, ist nicht aufgezeichnet: Sie sind für die ganze Zeit gezählt."
        case .clockBack(let period, _): "Eine Uhr wurde zurückgestellt: Für die Zeit \(self.period(period)) ist nicht sicher, welche Regeln galten."
        case .clockApart: "Zwei Uhren gingen verschieden: Die Zeit eines Lesezugriffs kann abweichen."
        case .releasedBefore(let releases): "Vor dieser Zeit gab es \(releases.count == 1 ? "1 früheren Lesezugriff" : "\(number(releases.count)) frühere Lesezugriffe") auf Daten dieser Art, nach den damaligen Regeln; ob etwas von Ihnen dabei war, sagt diese Mitteilung nicht."
        case .notNamed(let releases): "\(releases.count == 1 ? "1 Lesezugriff betraf" : "\(number(releases.count)) Lesezugriffe betrafen") so viele Personen, dass die Aufzeichnung sie nicht nennt: Wo Sie darunter sein können, steht er hier als Ihrer."
        case .notEnded(let releases): "Von \(releases.count == 1 ? "1 Lesezugriff" : "\(number(releases.count)) Lesezugriffen") ist das Ende nicht aufgezeichnet: Angegeben ist das Meiste, was es gewesen sein kann."
        case .holdingsFewer: "Ein Teil der Daten ist inzwischen gelöscht: Es können mehr Einträge gewesen sein als angegeben."
        case .erased: "Ihre Daten sind inzwischen gelöscht: Wie viele es waren, weiß niemand mehr."
        case .placeUnknown: "Wo Ihre Daten lagen, ist nicht aufgezeichnet: Wer nach Standort oder Team lesen konnte, ist so gezählt, als hätte er Ihre lesen können."
        }
    }
}
