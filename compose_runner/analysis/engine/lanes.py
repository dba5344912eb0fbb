"""Vector instructions over rows of a grid, which numba's own loops do not reach.

numba cannot know that two arrays do not overlap, so it guards every short loop with checks that cost more than the
loop. These operations load, combine and store one row of a fixed number of lanes as one LLVM vector; LLVM lowers it
to whatever the processor has, so the same cached code serves x86-64 and arm64. The number of lanes is the length of a
tuple (``lanes``), because a tuple's length is part of its type and so known when the code is compiled. Nothing is
bounds-checked: every array that is passed here is padded by its owner.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="import-untyped"

from __future__ import annotations

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


class _Rows:
    """Loads and stores rows while one intrinsic is being generated."""

    def __init__(self, context: Any, builder: Any, n_lanes: int) -> None:
        self.context, self.builder, self.n_lanes = context, builder, n_lanes

    def _pointer(self, array_type: Any, array: Any, index: Any) -> tuple[Any, Any, int]:
        data = self.context.make_array(array_type)(self.context, self.builder, array).data
        vector = ir.VectorType(self.context.get_value_type(array_type.dtype), self.n_lanes)
        pointer = self.builder.bitcast(cgutils.gep_inbounds(self.builder, data, index), vector.as_pointer())
        return pointer, vector, array_type.dtype.bitwidth // 8

    def load(self, array_type: Any, array: Any, index: Any) -> Any:
        pointer, _, align = self._pointer(array_type, array, index)
        return self.builder.load(pointer, align=align)

    def store(self, value: Any, array_type: Any, array: Any, index: Any) -> None:
        pointer, _, align = self._pointer(array_type, array, index)
        self.builder.store(value, pointer, align=align)

    def zero(self, array_type: Any) -> Any:
        vector = ir.VectorType(self.context.get_value_type(array_type.dtype), self.n_lanes)
        return ir.Constant(vector, [0] * self.n_lanes)

    def minimum(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)


@intrinsic
def add_scaled(typingctx, total, o, kernel, k, scale, lanes):
    """``total[o:o+n] += scale[0] * kernel[k:k+n]``: a focus that meets no earlier focus of its study."""

    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, len(signature.args[5]))
        value = rows.load(signature.args[2], args[2], args[3])
        value = builder.fmul(value, rows.load(signature.args[4], args[4], ir.Constant(args[1].type, 0)))
        out = builder.fadd(rows.load(signature.args[0], args[0], args[1]), value)
        rows.store(out, signature.args[0], args[0], args[1])
        return context.get_dummy_value()

    return types.void(total, types.intp, kernel, types.intp, scale, lanes), generate


@intrinsic
def add_excess(typingctx, total, o, kernel, k, seen, scale, lanes):
    """``total[o:o+n] += scale * min(kernel[k:k+n] - seen[:n], 0)``: what a focus adds to its study's other foci."""

    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, len(signature.args[6]))
        first = ir.Constant(args[1].type, 0)
        value = builder.fsub(
            rows.load(signature.args[2], args[2], args[3]), rows.load(signature.args[4], args[4], first)
        )
        value = rows.minimum(value, rows.zero(signature.args[0]))
        value = builder.fmul(value, rows.load(signature.args[5], args[5], first))
        out = builder.fadd(rows.load(signature.args[0], args[0], args[1]), value)
        rows.store(out, signature.args[0], args[0], args[1])
        return context.get_dummy_value()

    return types.void(total, types.intp, kernel, types.intp, seen, scale, lanes), generate


@intrinsic
def lower_to(typingctx, target, o, kernel, k, lanes):
    """``target[o:o+n] = min(target[o:o+n], kernel[k:k+n])``: the strongest focus of a study, in logarithms."""

    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, len(signature.args[4]))
        out = rows.minimum(
            rows.load(signature.args[0], args[0], args[1]), rows.load(signature.args[2], args[2], args[3])
        )
        rows.store(out, signature.args[0], args[0], args[1])
        return context.get_dummy_value()

    return types.void(target, types.intp, kernel, types.intp, lanes), generate


@intrinsic
def clear(typingctx, target, o, lanes):
    """``target[o:o+n] = 0``."""

    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, len(signature.args[2]))
        rows.store(rows.zero(signature.args[0]), signature.args[0], args[0], args[1])
        return context.get_dummy_value()

    return types.void(target, types.intp, lanes), generate


@intrinsic
def flush_scaled(typingctx, total, study, o, scale, lanes):
    """``total[o:o+n] += scale * study[o:o+n]; study[o:o+n] = 0``: a whole study at once."""

    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, len(signature.args[4]))
        value = rows.load(signature.args[1], args[1], args[2])
        value = builder.fmul(value, rows.load(signature.args[3], args[3], ir.Constant(args[2].type, 0)))
        out = builder.fadd(rows.load(signature.args[0], args[0], args[2]), value)
        rows.store(out, signature.args[0], args[0], args[2])
        rows.store(rows.zero(signature.args[1]), signature.args[1], args[1], args[2])
        return context.get_dummy_value()

    return types.void(total, study, types.intp, scale, lanes), generate


@intrinsic
def any_below(typingctx, total, o, bias, k, limit, lanes):
    """Whether any of ``total[o:o+n] + bias[k:k+n]`` is below ``limit`` (``bias`` is infinite outside the mask)."""

    def generate(context, builder, signature, args):
        n_lanes = len(signature.args[5])
        rows = _Rows(context, builder, n_lanes)
        value = builder.fadd(
            rows.load(signature.args[0], args[0], args[1]), rows.load(signature.args[2], args[2], args[3])
        )
        one = context.cast(builder, args[4], signature.args[4], signature.args[0].dtype)
        vector = value.type
        splat = builder.shuffle_vector(
            builder.insert_element(ir.Constant(vector, ir.Undefined), one, ir.Constant(ir.IntType(32), 0)),
            ir.Constant(vector, ir.Undefined),
            ir.Constant(ir.VectorType(ir.IntType(32), n_lanes), [0] * n_lanes),
        )
        bits = builder.bitcast(builder.fcmp_ordered("<", value, splat), ir.IntType(n_lanes))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(total, types.intp, bias, types.intp, limit, lanes), generate


@intrinsic
def add_count(typingctx, total, o, kernel, k, lanes):
    """``total[o:o+n] += kernel[k:k+n]`` for counts."""

    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, len(signature.args[4]))
        out = builder.add(
            rows.load(signature.args[0], args[0], args[1]), rows.load(signature.args[2], args[2], args[3])
        )
        rows.store(out, signature.args[0], args[0], args[1])
        return context.get_dummy_value()

    return types.void(total, types.intp, kernel, types.intp, lanes), generate


@intrinsic
def add_new_count(typingctx, total, o, kernel, k, seen, lanes):
    """``total[o:o+n] += kernel[k:k+n] & ~seen[:n]``: voxels that the study has not reached before."""

    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, len(signature.args[5]))
        seen_row = rows.load(signature.args[4], args[4], ir.Constant(args[1].type, 0))
        value = builder.and_(rows.load(signature.args[2], args[2], args[3]), builder.not_(seen_row))
        out = builder.add(rows.load(signature.args[0], args[0], args[1]), value)
        rows.store(out, signature.args[0], args[0], args[1])
        return context.get_dummy_value()

    return types.void(total, types.intp, kernel, types.intp, seen, lanes), generate


@intrinsic
def mark(typingctx, target, o, kernel, k, lanes):
    """``target[o:o+n] |= kernel[k:k+n]``: the voxels that a study reaches."""

    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, len(signature.args[4]))
        out = builder.or_(
            rows.load(signature.args[0], args[0], args[1]), rows.load(signature.args[2], args[2], args[3])
        )
        rows.store(out, signature.args[0], args[0], args[1])
        return context.get_dummy_value()

    return types.void(target, types.intp, kernel, types.intp, lanes), generate


@intrinsic
def flush_count(typingctx, total, study, o, lanes):
    """``total[o:o+n] += study[o:o+n]; study[o:o+n] = 0`` for counts."""

    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, len(signature.args[3]))
        out = builder.add(
            rows.load(signature.args[0], args[0], args[2]), rows.load(signature.args[1], args[1], args[2])
        )
        rows.store(out, signature.args[0], args[0], args[2])
        rows.store(rows.zero(signature.args[1]), signature.args[1], args[1], args[2])
        return context.get_dummy_value()

    return types.void(total, study, types.intp, lanes), generate


@intrinsic
def any_reaches(typingctx, total, o, bias, k, limit, lanes):
    """Whether any of ``total[o:o+n] & bias[k:k+n]`` is at least ``limit`` (``bias`` is 0 outside the mask)."""

    def generate(context, builder, signature, args):
        n_lanes = len(signature.args[5])
        rows = _Rows(context, builder, n_lanes)
        value = builder.and_(
            rows.load(signature.args[0], args[0], args[1]), rows.load(signature.args[2], args[2], args[3])
        )
        one = context.cast(builder, args[4], signature.args[4], signature.args[0].dtype)
        vector = value.type
        splat = builder.shuffle_vector(
            builder.insert_element(ir.Constant(vector, ir.Undefined), one, ir.Constant(ir.IntType(32), 0)),
            ir.Constant(vector, ir.Undefined),
            ir.Constant(ir.VectorType(ir.IntType(32), n_lanes), [0] * n_lanes),
        )
        bits = builder.bitcast(builder.icmp_signed(">=", value, splat), ir.IntType(n_lanes))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(total, types.intp, bias, types.intp, limit, lanes), generate


@intrinsic
def add_widened(typingctx, target, o, source, k, lanes):
    """``target[o:o+n] += source[k:k+n]``, single precision added in double precision."""

    def generate(context, builder, signature, args):
        rows = _Rows(context, builder, len(signature.args[4]))
        wide = ir.VectorType(ir.DoubleType(), rows.n_lanes)
        value = builder.fpext(rows.load(signature.args[2], args[2], args[3]), wide)
        out = builder.fadd(rows.load(signature.args[0], args[0], args[1]), value)
        rows.store(out, signature.args[0], args[0], args[1])
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, lanes), generate
