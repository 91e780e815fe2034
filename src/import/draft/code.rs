//! What the import says of a setting: a list of stable codes, each with the mark it gives.

/// What becomes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// It stands in the result.
    Carried,
    /// It holds here without being said, or meant nothing.
    Implied,
    /// It is asked for with more rigour here.
    Stricter,
    /// It is carried, and is not the same.
    Changed,
    /// It is left out.
    NotCarried,
}

impl Mark {
    /// Every mark, in order.
    pub const ALL: [Self; 5] = [Self::Carried, Self::Implied, Self::Stricter, Self::Changed, Self::NotCarried];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::Implied => "implied",
            Self::Stricter => "stricter",
            Self::Changed => "changed",
            Self::NotCarried => "not carried",
        }
    }
}

/// One thing that can be said of a setting.
#[derive(Debug)]
pub struct Judgement {
    /// The word that `--accept` takes.
    pub word: &'static str,
    /// The mark it gives.
    pub mark: Mark,
    /// Whether it changes who gets mail, as whom, or how safely, so that it has to be accepted.
    pub must_be_accepted: bool,
    /// What it means, for the manual.
    pub about: &'static str,
}

/// A line is a constant, the word, the mark, whether it must be accepted, and the meaning.
macro_rules! codes {
    ($($name:ident $word:literal $mark:ident $must:literal $about:literal;)*) => {
        $(
            #[doc = $about]
            pub static $name: Judgement =
                Judgement { word: $word, mark: Mark::$mark, must_be_accepted: $must, about: $about };
        )*

        /// Every code, in the order of the manual.
        pub static CODES: &[&Judgement] = &[$(&$name),*];
    };
}

codes! {
    CARRIED "carried" Carried false "It stands in the result.";
    IMPLIED "implied" Implied false "It holds here without being said, or had no effect.";
    UNUSED "unused" Implied false "It belongs to a part of the file that is not used.";
    TLS_VERIFIED "tls-verified" Stricter false "The server's certificate is verified, which it was not.";
    TLS_REQUIRED "tls-required" Stricter false "The connection must be encrypted, which it need not have been.";
    TLS_MODE "tls-mode" Changed false "TLS begins in the way that the provider's port has.";
    PORT "port" Changed true "Another port is used, or another host, than the program used.";
    REVERSE_PATH "reverse-path" Changed false "Where -f says nothing, the reverse-path is the From field's address.";
    FROM_FIELD "from-field" Changed true "The From field is treated in another way.";
    PER_USER "per-user" Changed true "The sender was each caller's own; here it is that of one user.";
    LOG "log" Changed false "The log goes to the same place, with lines of our own.";
    QUEUE "queue" Changed false "It kept and repeated messages; here the caller is told at once.";
    SWITCH "switch" Changed false "The application speaks to the server by itself until it is told to call sendmail.";
    MISREAD "misread" Changed true "The program reads its file otherwise than it looks.";
    COMMAND "command" Changed false "A program gives the secret: it runs as whoever sends, and for ten seconds at most.";
    NAME "name" Changed false "A name had to be changed.";
    CERTIFICATE "certificate" NotCarried true "Verification was turned off, and cannot be here.";
    PASSWORD "password" NotCarried true "There is no password that could be taken along.";
    PLACEHOLDER "placeholder" NotCarried true "A value stands for what was never filled in.";
    EXECUTED "executed" NotCarried true "A program would have to be run to know this line.";
    COMPUTED "computed" NotCarried true "A value is computed when the program runs.";
    ADDRESS "address" NotCarried true "What should be an address is none.";
    LOGIN_METHOD "login-method" NotCarried true "A way to log in that is not known here.";
    PROTOCOL "protocol" NotCarried true "A protocol that is not spoken here.";
    LOOKUP "lookup" NotCarried true "A table that cannot be read here.";
    LOCAL_DELIVERY "local-delivery" NotCarried true "Mail was put into mailboxes of this host.";
    LOCAL_NAMES "local-names" NotCarried true "Nothing says who gets the mail of root and other local names.";
    RECIPIENTS_SHOWN "recipients-shown" NotCarried true "Fields with the recipients' addresses were removed or replaced.";
    SERVER "server" NotCarried true "It also takes mail from other hosts.";
    PER_MESSAGE "per-message" NotCarried false "What is said with each message here (-N, -R).";
    NO_COUNTERPART "no-counterpart" NotCarried false "There is nothing like it here, and mail goes out without it.";
    UNKNOWN "unknown" NotCarried true "A setting that the import does not know.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_word_of_its_own_and_only_a_difference_has_to_be_accepted() {
        for (at, code) in CODES.iter().enumerate() {
            assert!(CODES[..at].iter().all(|other| other.word != code.word), "{}", code.word);
            assert!(!code.must_be_accepted || code.mark >= Mark::Changed, "{}", code.word);
            assert!(code.about.ends_with('.'), "{}", code.word);
        }
    }
}
