//! Kinds of refusal.

/// Kinds of refusal, as programs tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorId {
    /// The request makes no sense.
    BadRequest,
    /// No or wrong credentials.
    Unauthorized,
    /// Not for this user.
    Forbidden,
    /// No such thing.
    NotFound,
    /// A version of the API that is not spoken.
    NotAcceptable,
    /// Not now: something else is going on.
    Conflict,
    /// The body is too long.
    TooLarge,
    /// A part of a list that cannot be given.
    Range,
    /// The request makes sense, its values do not.
    InvalidParams,
    /// Only for who says so once more.
    Unconfirmed,
    /// Too many requests of one account.
    RateLimit,
    /// The node is at one of its limits, or closing.
    Unavailable,
    /// A fault of the node.
    InternalServerError,
}

impl ErrorId {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::NotAcceptable,
        Self::Conflict,
        Self::TooLarge,
        Self::Range,
        Self::InvalidParams,
        Self::Unconfirmed,
        Self::RateLimit,
        Self::Unavailable,
        Self::InternalServerError,
    ];

    /// The word in the body's `id`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NotAcceptable => "not_acceptable",
            Self::Conflict => "conflict",
            Self::TooLarge => "payload_too_large",
            Self::Range => "requested_range_not_satisfiable",
            Self::InvalidParams => "invalid_params",
            Self::Unconfirmed => "confirmation_required",
            Self::RateLimit => "rate_limit",
            Self::Unavailable => "unavailable",
            Self::InternalServerError => "internal_server_error",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::NotAcceptable => 406,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Range => 416,
            Self::InvalidParams => 422,
            Self::Unconfirmed => 423,
            Self::RateLimit => 429,
            Self::InternalServerError => 500,
            Self::Unavailable => 503,
        }
    }
}
