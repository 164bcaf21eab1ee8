"""Arrow types on their way into a Delta table: normalised batch by batch, and held against the table's columns.

Here: the one mapping from what engines hand over to what a Delta table stores. Not here: business rules about values.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from serving_assets.errors import InputError

_UNSIGNED = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.int64()}


def normalised(schema: pa.Schema, *, table: str, existing: pa.Schema | None, whole: bool = False) -> pa.Schema:
    """The schema with which rows of `schema` are stored: every field nullable, every type one that Delta knows.

    Timestamps with a zone become UTC microseconds, those without stay without; strings, views and dictionaries become
    strings; unsigned integers the next larger signed one. A column of nulls alone takes the type the table has. Types
    may change where the `whole` table is replaced.

    Raises:
        InputError: for a type without a counterpart, a column name twice, or a type that differs from `existing`.
    """
    _refuse_duplicates(schema, table)
    fields = []
    for field in schema:
        known = _field(existing, field.name)
        dtype = known.type if known is not None and _is_null(field.type) else _stored(field.type)
        if dtype is None:
            raise InputError(
                f"{table}.{field.name} is of type {field.type}, which a Delta table cannot hold.",
                hint="Cast the column in the SQL that makes it.",
            )
        if known is not None and dtype != known.type and not whole:
            raise InputError(
                f"{table}.{field.name} is {known.type} in the table and {dtype} in the new rows.",
                hint=f"If the declared type has changed: serving-assets migrate {table}. Otherwise cast it to "
                f"{known.type} in the SQL that makes it, or give the new meaning a new column name.",
            )
        fields.append(pa.field(field.name, dtype))
    return pa.schema(fields)


def merged(existing: pa.Schema | None, incoming: pa.Schema) -> pa.Schema:
    """The table's schema after the write: its columns in their order, then the new ones."""
    if existing is None:
        return incoming
    return pa.schema([*existing, *(field for field in incoming if _field(existing, field.name) is None)])


def cast(batch: pa.RecordBatch, schema: pa.Schema, *, table: str) -> pa.RecordBatch:
    """`batch` with the types of `schema`; columns that already have them are not copied.

    Raises:
        InputError: naming the column whose values do not fit.
    """
    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        if column.type != field.type:
            try:
                options = pc.CastOptions(field.type, allow_time_truncate=True)
                column = pc.cast(_decoded(column), options=options)
            except pa.ArrowException as error:
                raise InputError(
                    f"{table}.{field.name}: a value of type {column.type} does not fit into {field.type} ({error}).",
                    hint="Cast or clean the column in the SQL that makes it.",
                ) from error
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def has_local_timestamps(schema: pa.Schema) -> bool:
    """Whether a timestamp without time zone, also a nested one, is in `schema`: such a table needs a Delta feature."""
    return any(_is_local(field.type) for field in schema)


def _is_local(dtype: pa.DataType) -> bool:
    if pa.types.is_timestamp(dtype):
        return dtype.tz is None
    return any(_is_local(dtype.field(i).type) for i in range(dtype.num_fields))


def _is_null(dtype: pa.DataType) -> bool:
    return _is_null(dtype.value_type) if pa.types.is_dictionary(dtype) else pa.types.is_null(dtype)


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column


def _field(schema: pa.Schema | None, name: str) -> pa.Field | None:
    return schema.field(name) if schema is not None and name in schema.names else None


def _refuse_duplicates(schema: pa.Schema, table: str) -> None:
    seen: dict[str, str] = {}
    for name in schema.names:
        if (other := seen.setdefault(name.lower(), name)) is not name:
            raise InputError(
                f"{table} would have the columns {other!r} and {name!r}; names are compared without regard to case.",
                hint="Rename one of them in the SQL that makes them.",
            )


def _stored(dtype: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if types.is_timestamp(dtype):
        return pa.timestamp("us", tz=None if dtype.tz is None else "UTC")
    if types.is_dictionary(dtype):
        return _stored(dtype.value_type)
    if types.is_string(dtype) or types.is_large_string(dtype) or types.is_string_view(dtype):
        return pa.string()
    if types.is_binary(dtype) or types.is_large_binary(dtype) or types.is_binary_view(dtype):
        return pa.binary()
    if types.is_fixed_size_binary(dtype):
        return pa.binary()
    if types.is_unsigned_integer(dtype):
        return _UNSIGNED[dtype]
    if types.is_float16(dtype):
        return pa.float32()
    if types.is_date(dtype):
        return pa.date32()
    if types.is_decimal128(dtype) or types.is_decimal32(dtype) or types.is_decimal64(dtype):
        return pa.decimal128(dtype.precision, dtype.scale) if dtype.scale >= 0 else None
    if types.is_signed_integer(dtype) or types.is_floating(dtype) or types.is_boolean(dtype):
        return dtype
    return _stored_nested(dtype)


def _stored_nested(dtype: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if types.is_list(dtype) or types.is_large_list(dtype) or types.is_fixed_size_list(dtype):
        item = _stored(dtype.value_type)
        return None if item is None else pa.list_(pa.field("element", item))
    if types.is_struct(dtype):
        children = [(child.name, _stored(child.type)) for child in dtype]
        return None if any(child is None for _, child in children) else pa.struct(children)
    if types.is_map(dtype):
        key, item = _stored(dtype.key_type), _stored(dtype.item_type)
        return None if key is None or item is None else pa.map_(key, item)
    return None
