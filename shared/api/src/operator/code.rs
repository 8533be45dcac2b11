//! Every reason for which the operator API refuses.

/// Names each reason once: the variant, its status, the code that never changes, and its title.
macro_rules! codes {
    ($($variant:ident $status:literal $code:literal $title:literal;)+) => {
        /// Why a request is refused. The table is in the documentation of [`crate::operator`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code that never changes.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The number of the HTTP status that goes with it.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// What it means, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    BodyUnreadable 400 "body-unreadable" "The body cannot be read";
    QueryInvalid 400 "query-invalid" "The query cannot be read";
    CursorInvalid 400 "cursor-invalid" "The list does not go on from there";
    IdInvalid 400 "id-invalid" "The address has something that is not an id";
    CallerUnknown 403 "caller-unknown" "The caller is not known";
    RequesterCannotDecide 403 "requester-cannot-decide" "Whoever asked cannot decide";
    NotFound 404 "not-found" "There is nothing here";
    CustomerUnknown 404 "customer-unknown" "The customer is not known";
    ServiceUnknown 404 "service-unknown" "The service is not known";
    MachineUnknown 404 "machine-unknown" "The machine is not known";
    RunUnknown 404 "run-unknown" "The run is not known";
    PlanUnknown 404 "plan-unknown" "The plan is not known";
    HumanTaskUnknown 404 "human-task-unknown" "The human task is not known";
    ReportNotWritten 404 "report-not-written" "The report is not written yet";
    MethodNotAllowed 405 "method-not-allowed" "The method is not allowed";
    ServiceExists 409 "service-exists" "The service exists with another content";
    VersionMoved 409 "version-moved" "The service was changed meanwhile";
    ClientTokenReused 409 "client-token-reused" "The client token belongs to another request";
    NotARecovery 409 "not-a-recovery" "The run is not a recovery";
    NoProvenImage 409 "no-proven-image" "Nothing is proven that could be recovered";
    DependencyCircle 409 "dependency-circle" "Services wait for each other";
    RegisterCurrent 409 "register-current" "The register needs no rebuild";
    RebuildAtWork 409 "rebuild-at-work" "Another rebuild is at work";
    SubjectChanged 409 "subject-changed" "The decision is about something else";
    DeadlinePassed 409 "deadline-passed" "The deadline has passed";
    AlreadyDecided 409 "already-decided" "Somebody has decided already";
    TaskExited 409 "task-exited" "Nobody waits for the decision any more";
    BodyTooLarge 413 "body-too-large" "The body is too large";
    BodyInvalid 422 "body-invalid" "The body asks for something that cannot be";
    CustomerForeign 422 "customer-foreign" "The deployment serves another customer";
    NotConfirmed 422 "not-confirmed" "The confirmation is not the one that is needed";
    TargetImageAmbiguous 422 "target-image-ambiguous" "What is to be recovered is not clear";
    TargetImageUnknown 422 "target-image-unknown" "The target image is not registered";
    TargetImageForeign 422 "target-image-foreign" "The target image belongs to another service";
    TargetImageUnproven 422 "target-image-unproven" "The target image is not proven";
    TargetImageAlone 422 "target-image-alone" "Another machine has no image of that moment";
    Internal 500 "internal" "The orchestrator failed";
    RegisterUnavailable 503 "register-unavailable" "The register did not answer";
    StoreUnavailable 503 "store-unavailable" "The store did not answer";
    WorkflowUnavailable 503 "workflow-unavailable" "The workflow engine did not answer";
}
