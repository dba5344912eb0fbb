"""Vector instructions over rows of a grid, which numba's own loops do not reach.

numba cannot know that two arrays do not overlap, so it guards every short loop with checks that cost more than the
loop. These operations load, combine and store one row of a fixed number of lanes as one LLVM vector; LLVM lowers it
to whatever the processor has, so the same cached code serves x86-64 and arm64. The number of lanes is the length of a
tuple (``lanes``), because a tuple's length is part of its type and so known when the code is compiled. Nothing is
bounds-checked: every array that is passed here is padded by its owner.

Each operation is declared by the expression that it evaluates; :func:`row_update` and :func:`row_test` make the numba
intrinsic of it, as described under "Implementing intrinsics" in numba's documentation.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES_PER_STEP = 16


def lanes_for(width: int) -> tuple[np.int8, ...]:
    """Return the tuple whose length is ``width`` rounded up to whole vectors."""
    return (np.int8(0),) * (LANES_PER_STEP * -(-width // LANES_PER_STEP))


class _Row:
    """One row of an array while an intrinsic is being generated."""

    def __init__(self, context: Any, builder: Any, array_type: Any, array: Any, index: Any, n_lanes: int) -> None:
        data = context.make_array(array_type)(context, builder, array).data
        vector = ir.VectorType(context.get_value_type(array_type.dtype), n_lanes)
        self.pointer = builder.bitcast(cgutils.gep_inbounds(builder, data, index), vector.as_pointer())
        self.builder, self.align = builder, array_type.dtype.bitwidth // 8

    def load(self) -> Any:
        return self.builder.load(self.pointer, align=self.align)

    def store(self, value: Any) -> None:
        self.builder.store(value, self.pointer, align=self.align)


def _intrinsic(expression: Any, parameters: list[str], define: Any) -> Any:
    """Make an intrinsic with these parameters; ``define`` gives the signature and the code for their types."""

    def definition(_typingctx, *arguments):
        return define(*arguments)

    names = ["typingctx", *parameters]
    signature = inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names])
    definition.__signature__ = signature  # type: ignore[attr-defined]
    definition.__name__, definition.__doc__ = expression.__name__, expression.__doc__
    return intrinsic(definition)


def row_update(expression: Any) -> Any:
    """Make the intrinsic that writes the value of an expression of rows to the first of them.

    Parameters
    ----------
    expression : callable
        Called as ``expression(builder, target, source, *rows)`` with LLVM vectors, it returns the new ``target``.

    Returns
    -------
    intrinsic
        Called as ``update(target, o, source, k, *rows, lanes)``: ``target[o:o+n]`` and ``source[k:k+n]`` are rows
        within arrays, the others start at the beginning of theirs.
    """
    rows = list(inspect.signature(expression).parameters)[3:]

    def define(target, _o, source, _k, *others):
        n_lanes = len(others[-1])

        def generate(context, builder, signature, args):
            first = ir.Constant(args[1].type, 0)
            indices = (args[1], args[3], *(first for _ in rows))
            arrays = (0, 2, *range(4, 4 + len(rows)))
            target, *sources = (
                _Row(context, builder, signature.args[at], args[at], index, n_lanes)
                for at, index in zip(arrays, indices, strict=True)
            )
            values = [row.load() for row in sources]
            target.store(expression(builder, target.load(), *values))
            return context.get_dummy_value()

        return types.void(target, types.intp, source, types.intp, *others), generate

    return _intrinsic(expression, ["target", "o", "source", "k", *rows, "lanes"], define)


def row_test(expression: Any) -> Any:
    """Make the intrinsic that tells whether a condition holds in any lane.

    Parameters
    ----------
    expression : callable
        Called as ``expression(builder, row, other, limit)`` with LLVM vectors, it returns one bit per lane.

    Returns
    -------
    intrinsic
        Called as ``test(array, o, other, k, limit, lanes)`` with a number as ``limit``.
    """

    def define(array, _o, other, _k, limit, lanes):
        n_lanes = len(lanes)

        def generate(context, builder, signature, args):
            row, other = (
                _Row(context, builder, signature.args[at], args[at], args[at + 1], n_lanes).load() for at in (0, 2)
            )
            one = context.cast(builder, args[4], signature.args[4], signature.args[0].dtype)
            undefined, positions = ir.Constant(row.type, ir.Undefined), ir.VectorType(ir.IntType(32), n_lanes)
            limit = builder.insert_element(undefined, one, ir.Constant(ir.IntType(32), 0))
            limit = builder.shuffle_vector(limit, undefined, ir.Constant(positions, [0] * n_lanes))
            bits = builder.bitcast(expression(builder, row, other, limit), ir.IntType(n_lanes))
            return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

        return types.boolean(array, types.intp, other, types.intp, limit, lanes), generate

    return _intrinsic(expression, ["array", "o", "other", "k", "limit", "lanes"], define)


@intrinsic
def clear(typingctx, target, o, lanes):  # noqa: ARG001 - numba reads their names
    """``target[o:o+n] = 0``."""

    def generate(context, builder, signature, args):
        row = _Row(context, builder, signature.args[0], args[0], args[1], len(signature.args[2]))
        row.store(ir.Constant(row.pointer.type.pointee, [0] * len(signature.args[2])))
        return context.get_dummy_value()

    return types.void(target, types.intp, lanes), generate


def _minimum(builder, a, b):
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@row_update
def add_scaled(builder, target, source, scale):
    """``target += scale * source``: a focus that overlaps no earlier focus of its study, or a study's own map."""
    return builder.fadd(target, builder.fmul(source, scale))


@row_update
def add_excess(builder, target, source, seen, scale):
    """``target += scale * min(source - seen, 0)``: what a focus adds to its study's other foci."""
    excess = builder.fsub(source, seen)
    excess = _minimum(builder, excess, ir.Constant(excess.type, [0] * excess.type.count))
    return builder.fadd(target, builder.fmul(excess, scale))


@row_update
def lower_to(builder, target, source):
    """``target = min(target, source)``: the strongest focus of a study, in logarithms."""
    return _minimum(builder, target, source)


@row_test
def any_below(builder, total, bias, limit):
    """``total + bias < limit`` anywhere (``bias`` is infinite outside the mask)."""
    return builder.fcmp_ordered("<", builder.fadd(total, bias), limit)


@row_update
def add_count(builder, target, source):
    """``target += source`` for counts."""
    return builder.add(target, source)


@row_update
def add_new_count(builder, target, source, seen):
    """``target += source & ~seen``: voxels that the study has not reached before."""
    return builder.add(target, builder.and_(source, builder.not_(seen)))


@row_update
def mark(builder, target, source):
    """``target |= source``: the voxels that a study reaches."""
    return builder.or_(target, source)


@row_test
def any_reaches(builder, total, bias, limit):
    """``total & bias >= limit`` anywhere (``bias`` is 0 outside the mask)."""
    return builder.icmp_signed(">=", builder.and_(total, bias), limit)


@row_update
def add_widened(builder, target, source):
    """``target += source``, single precision added in double precision."""
    return builder.fadd(target, builder.fpext(source, target.type))
