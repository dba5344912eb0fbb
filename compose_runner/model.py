"""Models on pydantic's engine alone, without the part of pydantic that reads type annotations.

``pydantic.BaseModel`` turns annotations into a core schema, which ``pydantic_core`` compiles; that first step is a
third of a function's own cold start (70 ms of processor time: its import, and the schemas). Here a field names its core
schema; validation, the wording of errors and serialisation are pydantic's, and so is the OpenAPI document, which
pydantic makes of the same core schemas (https://docs.pydantic.dev/latest/api/pydantic_core_schema/).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, cast, dataclass_transform

from pydantic_core import SchemaSerializer, SchemaValidator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CoreSchema: TypeAlias = dict[str, Any]
_REQUIRED = object()


class _Field:
    """A field as its class declares it, until the class is made."""

    def __init__(self, schema: CoreSchema, absent: dict[str, Any], told: dict[str, Any]) -> None:
        if absent:
            schema = {"type": "default", "schema": schema, **absent}
        self.absent = absent
        self.schema: CoreSchema = {"type": "model-field", "schema": schema}
        if told:
            self.schema["metadata"] = {"pydantic_js_updates": told}


def field(
    schema: CoreSchema,
    *,
    default: Any = _REQUIRED,
    default_factory: Callable[[], Any] | None = None,
    **told: Any,
) -> Any:
    """Declare a field.

    Parameters
    ----------
    schema : dict
        Core schema of its values.
    default, default_factory : optional
        Its value when it is absent, or what makes that value; without one, the field is required.
    **told
        What the OpenAPI document says of it beside the schema, such as ``description`` and ``examples``.
    """
    if default_factory is not None:
        return _Field(schema, {"default_factory": default_factory}, told)
    return _Field(schema, {} if default is _REQUIRED else {"default": default}, told)


def nullable(schema: CoreSchema) -> CoreSchema:
    """Allow null as well."""
    return {"type": "nullable", "schema": schema}


def before(function: Callable[[Any], Any], schema: CoreSchema) -> CoreSchema:
    """Pass values through a function first; a ``ValueError`` of it refuses them."""
    return {"type": "function-before", "function": {"type": "no-info", "function": function}, "schema": schema}


def after(function: Callable[[Any], Any], schema: CoreSchema) -> CoreSchema:
    """Pass valid values through a function; a ``ValueError`` of it refuses them."""
    return {"type": "function-after", "function": {"type": "no-info", "function": function}, "schema": schema}


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
class Model:
    """Named fields that are validated when an instance is made; unknown ones are ignored.

    Subclasses declare their fields with :func:`field`; a validator is compiled when it is first used. The methods are
    those of ``pydantic.BaseModel`` by the same names.
    """

    __slots__ = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")

    # what pydantic's generator of JSON Schema asks a model for
    model_config: ClassVar[dict[str, Any]] = {}
    _fields: ClassVar[dict[str, _Field]] = {}
    _validator: ClassVar[SchemaValidator | None] = None
    _serializer: ClassVar[SchemaSerializer | None] = None

    def __init_subclass__(cls) -> None:
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, _Field)}
        for name in declared:
            delattr(cls, name)
        cls._fields = {**cls._fields, **declared}
        cls._validator = cls._serializer = None

    def __init__(self, **fields: Any) -> None:
        self._validating().validate_python(fields, self_instance=self)

    @classmethod
    def core_schema(cls) -> CoreSchema:
        """Give the class's core schema."""
        return {
            "type": "model",
            "cls": cls,
            "schema": {
                "type": "model-fields",
                "fields": {name: declared.schema for name, declared in cls._fields.items()},
                "model_name": cls.__name__,
            },
            "ref": f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",
        }

    @classmethod
    def model_validate(cls, fields: Any) -> Self:
        """Make an instance of a mapping; raises ``pydantic.ValidationError``, which shows no value."""
        return cast("Self", cls._validating().validate_python(fields))

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **fields: Any) -> Self:
        """Make an instance of fields that are known to be valid."""
        made = cls.__new__(cls)
        for name, declared in cls._fields.items():
            if name not in fields and declared.absent:
                factory = declared.absent.get("default_factory")
                vars(made)[name] = factory() if factory else declared.absent["default"]
        vars(made).update(fields)
        object.__setattr__(made, "__pydantic_fields_set__", set(fields) if _fields_set is None else _fields_set)
        object.__setattr__(made, "__pydantic_extra__", None)
        object.__setattr__(made, "__pydantic_private__", None)
        return made

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """Copy the instance with other values in some fields, which are known to be valid."""
        fields_set: set[str] = self.__pydantic_fields_set__ | set(update)  # type: ignore[attr-defined]
        return self.model_construct(fields_set, **{**vars(self), **update})

    def model_dump(self, *, mode: str = "python", **chosen: Any) -> dict[str, Any]:
        """Give the fields by their names; with ``mode="json"`` as JSON has them.

        Parameters
        ----------
        mode : str
            ``python`` or ``json``.
        **chosen
            ``exclude``, ``exclude_unset`` and ``exclude_none``, as ``pydantic.BaseModel`` has them.
        """
        return cast("dict[str, Any]", self._serializing().to_python(self, mode=mode, **chosen))

    def model_dump_json(self, *, exclude_unset: bool = False) -> str:
        """Give the JSON text."""
        return self._serializing().to_json(self, exclude_unset=exclude_unset).decode()

    @classmethod
    def _validating(cls) -> SchemaValidator:
        if cls._validator is None:
            cls._validator = SchemaValidator(cast("Any", cls.core_schema()), {"hide_input_in_errors": True})
        return cls._validator

    @classmethod
    def _serializing(cls) -> SchemaSerializer:
        if cls._serializer is None:
            cls._serializer = SchemaSerializer(cast("Any", cls.core_schema()))
        return cls._serializer

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Secret:
    """A text that is only seen where it is asked for.

    Parameters
    ----------
    value : str
        The text.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def get_secret_value(self) -> str:
        """Give the text."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret('**********')"
