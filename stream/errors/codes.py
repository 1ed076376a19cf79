"""What providers, SDKs and HTTP libraries call their errors, by class.

Owns the words, not the decision (`classify.py`). A word is an error type, code or exception name in lower
case without separators and without a final `error`, `exception` or `fault`: `RateLimitError`,
`rate_limit_error` and `rate-limit` are all `ratelimit`.

Sources, read in November 2026: OpenAI "Error codes" and its SDKs' exceptions; Anthropic "Errors"
(docs.claude.com/en/api/errors); Amazon Bedrock "Troubleshooting API error codes" and the InvokeModel
reference; Gemini "Troubleshooting" (google.rpc codes, finish reasons); Azure OpenAI content filtering;
Cohere's and Mistral's SDKs; LiteLLM "Exception mapping"; httpx, requests, urllib3, aiohttp, Node's errno; the
seven failed calls of the public set of recorded provider calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tokentide.schemas.call import ErrorClass

WORDS: Final[Mapping[ErrorClass, str]] = {
    "content_filter": """
        contentfilter contentfiltered contentpolicyviolation contentpolicy responsibleaipolicyviolation
        moderation moderationblocked contentmoderation safety imagesafety recitation blocklist
        prohibitedcontent spii blockedprompt stopcandidate guardrailraised guardrailintervened guardrail
        guardrailviolation blockedpiientity sensitivewords harmfulcontent refusal unsafecontent
    """,
    "context_length": """
        contextlengthexceeded contextlength contextwindowexceeded modelcontextwindowexceeded
        stringabovemaxlength requesttoolarge payloadtoolarge requestentitytoolarge maxtokensexceeded
        prompttoolong inputtoolong toomanytokens contextoverflow
    """,
    "quota": """
        insufficientquota quotaexceeded servicequotaexceeded billing billinghardlimitreached billingnotactive
        creditbalanceexhausted organizationspendlimitexceeded projectspendlimitexceeded spendlimitexceeded
        insufficientcredits insufficientbalance insufficientfunds paymentrequired budgetexceeded
        usagelimitreached monthlylimitreached
    """,
    "rate_limit": """
        ratelimit ratelimited ratelimitexceeded ratelimitreached throttling throttled throttle toomanyrequests
        requestlimitexceeded resourceexhausted tokens requests slowdown concurrencylimitexceeded
    """,
    "auth": """
        authentication authenticationfailed unauthenticated unauthorized unauthorised authorization
        authorizationfailed invalidapikey incorrectapikey apikeyinvalid apikeynotfound missingapikey
        invalidauthentication permission permissiondenied forbidden accessdenied accountdeactivated
        invalidorganization mismatchedorganization mismatchedproject unsupportedcountryregionterritory
        expiredtoken invalidtoken unrecognizedclient incompletesignature invalidsignature
        signaturedoesnotmatch missingauthenticationtoken invalidclienttokenid optinrequired notauthorized
        nocredentials partialcredentials defaultcredentials credentialretrieval refresh ipnotauthorized
    """,
    "timeout": """
        timeout timedout apitimeout apiconnectiontimeout readtimeout connecttimeout connectiontimeout
        writetimeout pooltimeout sockettimeout servertimeout requesttimeout gatewaytimeout modeltimeout
        deadlineexceeded operationtimedout operationtimeout etimedout esockettimedout underrconnecttimeout
        underrheaderstimeout underrbodytimeout
    """,
    "network": """
        apiconnection connection connect connectionreset connectionrefused connectionaborted connectionclosed
        endpointconnection brokenpipe remoteprotocol localprotocol protocol read write close network proxy
        sslcertverification ssl certificate gai nameresolution newconnection maxretry incompleteread
        chunkedencoding clientconnector clientconnectordns clientos clientpayload serverdisconnected
        econnreset econnrefused econnaborted enotfound eaiagain epipe ehostunreach enetunreach socket
        underrsocket fetchfailed unknownhost httpclient
    """,
    "server": """
        api internalserver internalfailure internal server overloaded engineoverloaded
        serveroverloaded overload unavailable serviceunavailable badgateway
        modelnotready model modelstream nocapacity capacity capacityexceeded dependencyfailed outofmemory
        backend upstream dataloss
    """,
    "invalid_request": """
        invalidrequest badrequest validation httpvalidation unprocessableentity invalidargument
        invalidparameter invalidparametervalue missingparameter failedprecondition outofrange unimplemented
        notfound modelnotfound resourcenotfound deploymentnotfound modeldeprecated unsupportedparams
        unsupportedparameter unsupportedvalue unsupportedmodel invalidimageurl invalidimage invalidimageformat
        imagefetch malformed serialization methodnotallowed unsupportedmediatype notacceptable conflict
        unknownmodel invalidvalue invalidtype invalidaction badresponsestatuscode gone rejectedrequest
    """,
}
"""The words of each class. The order is the order of precedence: of two words in one error, the one that says
more counts (`invalid_request_error` with `context_length_exceeded` is the latter)."""

BEYOND_STATUS: Final = frozenset(
    {"overloaded", "engineoverloaded", "serveroverloaded", "modelnotready", "nocapacity", "capacityexceeded"}
)
"""Words of `server` that say more than any status beside them: Bedrock reports a model that is not ready as
429, which is no limit of the caller's."""

FRAGMENTS: Final[Mapping[ErrorClass, str]] = {
    "content_filter": "contentfilter contentpolicy contentmanagement guardrail moderation prohibitedcontent safety",
    "context_length": "contextlength contextwindow toolarge toolong maxcontext",
    "quota": "quota billing creditbalance insufficientcredit spendlimit budgetexceeded",
    "rate_limit": "ratelimit throttl toomanyrequests",
    "auth": "authent authoriz unauthor apikey accessdenied permissiondenied credential signature forbidden",
    "timeout": "timeout timedout deadline",
    "network": "connection econn network dnserror nameresol sslerror certificate socket hangup disconnect",
    "server": "overload unavailable internalserver badgateway servererror outofmemory",
    "invalid_request": "invalid badrequest notfound unsupported malformed validation unprocessable deprecated",
}
"""Parts of names not in the list of words, in the same order; only asked when no word is known."""

PHRASES: Final[tuple[tuple[str, ErrorClass], ...]] = (
    ("content management policy", "content_filter"),
    ("content policy", "content_filter"),
    ("content filter", "content_filter"),
    ("safety system", "content_filter"),
    ("maximum context length", "context_length"),
    ("context window", "context_length"),
    ("context length", "context_length"),
    ("prompt is too long", "context_length"),
    ("input is too long", "context_length"),
    ("too many tokens", "context_length"),
    ("exceeds the maximum number of tokens", "context_length"),
    ("exceeded your current quota", "quota"),
    ("credit balance is too low", "quota"),
    ("insufficient credits", "quota"),
    ("usage limits", "quota"),
    ("rate limit", "rate_limit"),
    ("too many requests", "rate_limit"),
    ("api key", "auth"),
    ("timed out", "timeout"),
    ("overloaded", "server"),
)
"""Parts of messages, lower case, first match wins; only asked where status and type say nothing specific
(Anthropic and Bedrock report a prompt that is too long as a plain invalid request)."""

STATUSES: Final[Mapping[int, ErrorClass]] = {
    401: "auth",
    402: "quota",
    403: "auth",
    407: "network",  # a proxy on the way
    408: "timeout",
    413: "context_length",
    424: "server",  # Bedrock: the model failed
    429: "rate_limit",
    498: "auth",  # Cohere: invalid token
    499: "other",  # the caller went away
    504: "timeout",
    522: "timeout",  # 520-527: Cloudflare before Anthropic and OpenAI
    524: "timeout",
    525: "network",
    526: "network",
    598: "timeout",
    599: "timeout",
}
"""What a status says beyond its hundred: other 4xx are `invalid_request`, other 5xx `server`."""

ABANDONED: Final = frozenset(
    {"cancelled", "canceled", "abort", "aborted", "apiuserabort", "clientclosedrequest", "keyboardinterrupt"}
)
"""The caller gave up: class `other`, owner `user`. (A call known to be cancelled is no error at all.)"""

_BUGS: Final = """
    value type key index attribute assertion zerodivision jsondecode unicodedecode unicodeencode recursion
    notimplemented name unboundlocal runtime import modulenotfound stopiteration outputparser jsonschemavalidation
    nullpointer illegalargument illegalstate classcast reference syntax range
"""
BUGS: Final = frozenset(_BUGS.split())
"""Exceptions of a program's own code: class `other`, owner `application`."""
