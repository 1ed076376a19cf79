"""`Call`: the context manager around one call of a model. It times the call and its stages, takes what the
response says about usage, notes retries and errors, and emits one event at the end, however that comes.

    with producer.call(provider="openai", model="gpt-4o", prompt_name="answer") as call:
        with call.stage("context"):
            history = load(chat)
        with call.stage("model"):
            for chunk in client.chat.completions.create(stream=True, …):
                call.first_chunk()          # the first one counts
                call.openai_usage(chunk)    # the last one has the usage
                show(chunk)

Works as `async with` too. An exception that leaves the block is recorded and goes on unchanged. Nothing
here raises into the application: a mistake in a call's description is counted and logged.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, ParamSpec, Protocol, Self, TypeVar, cast, get_args

from tokentide.producers.contract_names import EVENT_FIELDS, Misnomer, misnamed
from tokentide.producers.failure import Failure, failure_of, is_from
from tokentide.producers.rfc3339 import rfc3339
from tokentide.producers.usage import Fields, anthropic_fields, openai_fields

if TYPE_CHECKING:
    from tokentide.producers.clock import Clock

StageName = Literal[
    "gateway", "queue", "cold_start", "parse", "context", "render", "model", "output", "network"
]
ERROR_STAGES: Final[Mapping[str, str]] = {
    "parse": "input_parse",
    "render": "prompt_render",
    "context": "context",
    "model": "model_call",
    "output": "output",
}
"""Which step of the call is said to have failed when an exception leaves a stage."""

_STAGES: Final = frozenset(get_args(StageName))
_current: Final[ContextVar[Call | None]] = ContextVar("tokentide_call", default=None)

P = ParamSpec("P")
R = TypeVar("R")


class Recorder(Protocol):
    """What a call needs of its producer."""

    @property
    def clock(self) -> Clock:
        """Where times come from."""
        ...

    @property
    def records_error_messages(self) -> bool:
        """Whether the text of exceptions may be sent."""
        ...

    def emit(self, event: Mapping[str, object]) -> None:
        """Send an event."""
        ...

    def note_mistake(self, text: str) -> None:
        """Have a mistake in the use of a call counted and logged; raises in strict mode only."""
        ...

    def note_misnomers(self, found: Sequence[Misnomer]) -> None:
        """Have names that the contract does not have logged; raises in strict mode only."""
        ...


def current_call() -> Call | None:
    """Return the innermost call that this task or thread is inside of, or None."""
    return _current.get()


class Call:
    """One call of a model, made by `Producer.call`. Emits exactly one event, at the end."""

    def __init__(self, recorder: Recorder, fields: Fields) -> None:
        self._recorder = recorder
        self._fields = fields
        self._stages: dict[str, float] = {}
        self._retries = 0
        self._failure: Failure | None = None
        self._failed_in: tuple[BaseException, str] | None = None
        self._started: float | None = None
        self._first_chunk: float | None = None
        self._is_finished = False
        self._token: Token[Call | None] | None = None

    # what the application tells

    def set(self, **fields: object) -> None:
        """Set fields of the event by their names in the contract; None leaves a field as it is.

        Raises:
            EventError: only with `strict=True`: the contract has no field of that name.
        """
        if not EVENT_FIELDS.issuperset(fields):
            self._recorder.note_misnomers(misnamed(fields))
        self._fields.update((name, value) for name, value in fields.items() if value is not None)

    def stage(self, name: StageName) -> Stage:
        """Return a context manager that times one stage; times of several uses add up."""
        if name not in _STAGES:
            self._recorder.note_mistake(f"stage: unknown; must be one of {', '.join(sorted(_STAGES))}")
        return Stage(self, name)

    def first_chunk(self) -> None:
        """Note that a part of the answer has arrived; only the first time counts, so call it for each."""
        if self._first_chunk is None:
            self._first_chunk = self._recorder.clock.monotonic()

    def usage(
        self,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_input_tokens: int | None = None,
        cache_write_input_tokens: int | None = None,
        cache_write_1h_input_tokens: int | None = None,
        reasoning_output_tokens: int | None = None,
        cache_reporting: Literal["inclusive", "exclusive"] | None = None,
        cost_usd: object = None,
        **others: object,
    ) -> None:
        """Set what the provider reported; what it did not report stays unknown. `others` are treated as by `set`."""
        self.set(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_input_tokens=cache_read_input_tokens,
            cache_write_input_tokens=cache_write_input_tokens,
            cache_write_1h_input_tokens=cache_write_1h_input_tokens,
            reasoning_output_tokens=reasoning_output_tokens,
            cache_reporting=cache_reporting,
            cost_usd=cost_usd,
            **others,
        )

    def openai_usage(self, response: object) -> None:
        """Take usage, model and finish reasons from a response or chunk of OpenAI or a compatible API."""
        self._read(response, openai_fields)

    def anthropic_usage(self, message: object) -> None:
        """Take usage, model and stop reason from a message or a stream's event of Anthropic."""
        self._read(message, anthropic_fields)

    def retry(self, error: BaseException | None = None) -> None:
        """Note that the model is tried once more; `error`, why, is not an error of the call if that works."""
        del error
        self._retries += 1

    def error(self, error: BaseException) -> None:
        """Record an error that does not leave the block."""
        self._fail(error)

    def cancel(self) -> None:
        """Record that the user did not want the answer any more."""
        self._failure = Failure("cancelled", None)

    # beginning and end

    def start(self) -> Self:
        """Begin; for code that cannot use `with`. Must be followed by `finish`."""
        self._started = self._recorder.clock.monotonic()
        return self

    def finish(self, error: BaseException | None = None) -> None:
        """End, and emit the event; a second end does nothing."""
        if self._is_finished:
            return
        self._is_finished = True
        if error is not None:
            self._fail(error)
        self._recorder.emit(self._event())

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is not None:
            try:
                _current.reset(self._token)
            except ValueError:  # an asynchronous generator that was closed in another context
                _current.set(None)
            self._token = None
        try:
            self.finish(error)
        except Exception:  # only in strict mode, which may not hide the application's own error
            if error is None:
                raise

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)

    def _event(self) -> Fields:
        clock = self._recorder.clock
        now = clock.monotonic()
        event: Fields = {"timestamp": rfc3339(clock.time_ns() // 1000), **self._fields}
        if self._started is not None:
            event.setdefault("duration_ms", _ms(now - self._started))
            if self._first_chunk is not None:
                event.setdefault("time_to_first_chunk_ms", _ms(self._first_chunk - self._started))
                event.setdefault("stream", True)
        if self._stages:
            given = event.get("stages")
            timed = {f"{name}_ms": _ms(seconds) for name, seconds in self._stages.items()}
            event["stages"] = {**timed, **given} if isinstance(given, Mapping) else timed
        if self._retries:
            event.setdefault("attempts", self._retries + 1)
        event.setdefault("status", self._failure.status if self._failure else "ok")
        if self._failure and self._failure.error:
            event.setdefault("error", self._failure.error)
        return event

    def _read(self, response: object, fields_of: Callable[[object], Fields]) -> None:
        try:
            fields = fields_of(response)
        except Exception as error:  # noqa: BLE001 - foreign objects; their attributes may raise anything
            self._recorder.note_mistake(f"usage: a response could not be read ({type(error).__name__})")
        else:
            self._fields.update(fields)

    def _fail(self, error: BaseException) -> None:
        stage = None
        if self._failed_in is not None and is_from(error, self._failed_in[0]):
            stage = ERROR_STAGES.get(self._failed_in[1])
        self._failure = failure_of(error, stage=stage, with_message=self._recorder.records_error_messages)

    def _stage_began(self) -> float:
        return self._recorder.clock.monotonic()

    def _stage_ended(self, name: str, began: float, error: BaseException | None) -> None:
        took = self._recorder.clock.monotonic() - began
        if name in _STAGES:
            self._stages[name] = self._stages.get(name, 0.0) + took
        if error is not None and not (self._failed_in and is_from(error, self._failed_in[0])):
            self._failed_in = (error, name)  # the innermost stage is the one that failed


class Stage:
    """Times one stage of a call; made by `Call.stage`."""

    def __init__(self, call: Call, name: str) -> None:
        self._call = call
        self._name = name
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = self._call._stage_began()  # noqa: SLF001 - one unit with Call

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call._stage_ended(self._name, self._began, error)  # noqa: SLF001 - as above

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, trace)


def observed(new_call: Callable[[], Call]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that puts each invocation of a function inside a call; see `Producer.observed`."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("a generator runs while it is read: use `with producer.call(...)` inside it")
        if inspect.iscoroutinefunction(function):
            coroutine = cast("Callable[P, Awaitable[object]]", function)

            @functools.wraps(function)
            async def observed_coroutine(*args: P.args, **kwargs: P.kwargs) -> object:
                async with new_call():
                    return await coroutine(*args, **kwargs)

            return cast("Callable[P, R]", observed_coroutine)

        @functools.wraps(function)
        def observed_function(*args: P.args, **kwargs: P.kwargs) -> R:
            with new_call():
                return function(*args, **kwargs)

        return observed_function

    return decorate


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)
