import Gate
import Rules

/// What a class of data is, in words that somebody can use who has never read a policy.
struct ClassWords {
    /// As it stands in a sentence.
    let name: String
    /// What an entry of it has, by way of example. Never what stands in it.
    let fields: [String]
    let consequence: String
    /// Besides what anybody can do; empty: nothing.
    let advice: String
}

extension NoticeLanguage {
    func words(of dataClass: DataClass) -> ClassWords { self == .english ? NoticeLanguage.english(dataClass) : NoticeLanguage.german(dataClass) }

    private static func english(_ dataClass: DataClass) -> ClassWords {
        switch dataClass {
        case .activity:
            ClassWords(
                name: "activity at your computer", fields: ["time", "program", "title of the window", "how often keys were pressed and the mouse was moved", "when you were away"],
                consequence: "Others may know when, how and with what you worked, and when you did not; it may be used to judge you.", advice: "")
        case .content:
            ClassWords(
                name: "what you wrote and read", fields: ["time", "program", "title of the document", "the text"],
                consequence: "Others may know what you wrote or read, private and confidential matters among it, and passwords if you typed any.",
                advice: "Change passwords and other secrets that you typed or pasted in that time.")
        case .conversation:
            ClassWords(
                name: "conversations", fields: ["time", "program", "channel", "the text of messages"],
                consequence: "Others may know what you and the people whom you talked with said in confidence.",
                advice: "If you spoke about something confidential in that time, consider telling those whom it concerns.")
        case .review:
            ClassWords(
                name: "reviews of your work", fields: ["time", "which form or document", "the text of the assessment"],
                consequence: "Others may know how your work was judged; it may change how you are treated, and be used against you.",
                advice: "If somebody refers to what stands in a review of yours, write down who, when and what.")
        case .credential:
            ClassWords(
                name: "passwords and keys", fields: ["time", "program", "the secret itself"], consequence: "Whoever has a password or key of yours can act in your name.",
                advice: "Change every password and key that you used in that time, now.")
        default:
            ClassWords(
                name: "data of the class \"\(dataClass.name)\"", fields: ["time", "program", "what was recorded"], consequence: "Others may know what is in it, and use it to judge you.", advice: "")
        }
    }

    private static func german(_ dataClass: DataClass) -> ClassWords {
        switch dataClass {
        case .activity:
            ClassWords(
                name: "Aktivität an Ihrem Rechner", fields: ["Zeit", "Programm", "Titel des Fensters", "wie oft Tasten gedrückt und die Maus bewegt wurde", "wann Sie abwesend waren"],
                consequence: "Andere wissen vielleicht, wann, wie und womit Sie gearbeitet haben und wann nicht; danach können Sie beurteilt werden.", advice: "")
        case .content:
            ClassWords(
                name: "was Sie geschrieben und gelesen haben", fields: ["Zeit", "Programm", "Titel des Dokuments", "der Text"],
                consequence: "Andere wissen vielleicht, was Sie geschrieben oder gelesen haben, darunter Privates und Vertrauliches, und Passwörter, falls Sie welche eingegeben haben.",
                advice: "Ändern Sie Passwörter und andere Geheimnisse, die Sie in dieser Zeit eingegeben oder eingefügt haben.")
        case .conversation:
            ClassWords(
                name: "Gespräche", fields: ["Zeit", "Programm", "Kanal", "der Text von Nachrichten"],
                consequence: "Andere wissen vielleicht, was Sie und andere miteinander im Vertrauen besprochen haben.",
                advice: "Haben Sie in dieser Zeit über Vertrauliches gesprochen, überlegen Sie, ob Sie es den Betroffenen sagen.")
        case .review:
            ClassWords(
                name: "Beurteilungen Ihrer Arbeit", fields: ["Zeit", "welches Formular oder Dokument", "der Text der Beurteilung"],
                consequence: "Andere wissen vielleicht, wie Ihre Arbeit beurteilt wurde; das kann ändern, wie man mit Ihnen umgeht, und gegen Sie verwendet werden.",
                advice: "Spielt jemand auf den Inhalt einer Beurteilung an, schreiben Sie auf, wer, wann und was.")
        case .credential:
            ClassWords(
                name: "Passwörter und Schlüssel", fields: ["Zeit", "Programm", "das Geheimnis selbst"], consequence: "Wer ein Passwort oder einen Schlüssel von Ihnen hat, kann in Ihrem Namen handeln.",
                advice: "Ändern Sie jetzt jedes Passwort und jeden Schlüssel, die Sie in dieser Zeit benutzt haben.")
        default:
            ClassWords(
                name: "Daten der Klasse „\(dataClass.name)“", fields: ["Zeit", "Programm", "was aufgezeichnet wurde"], consequence: "Andere wissen vielleicht, was darin steht, und können Sie danach beurteilen.", advice: "")
        }
    }
}
