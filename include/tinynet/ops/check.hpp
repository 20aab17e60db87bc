#pragma once

#include <string>

#include <tinynet/autograd/record.hpp>

/// Checks that several ops share. They throw before anything is computed.
namespace tinynet::inline TINYNET_ABI::ops {

/// Where an op stands, for messages: the layer of its weights, else the container being run.
struct Where {
  const Context& ctx;
  const std::string* parameter = nullptr;  // its dotted name

  friend std::string to_string(const Where& where) {
    const auto layer = where.parameter ? layer_of(*where.parameter) : "";
    return layer.empty() ? where.ctx.path : layer;
  }
};

template <class P>
Where where(const Context& ctx, const Weight<P>& w) {
  return {ctx, w.state() ? &w.state()->name : nullptr};
}

/// Requires a number of axes; `letters` is what they mean, as in "(n, h, w, c)".
inline void require_axes(const char* op, const Shape& shape, int axes, const char* letters,
                         const Text& path) {
  if (shape.axes() == axes) return;
  throw ShapeError(Message(op, {"input has ", shape.axes(), " axes, ", axes, " are needed"})
                       .fact("input", shape)
                       .fact("expected", letters)
                       .fact("in", path)
                       .hint(axes == 2 ? "flatten the input first" : "images are [n, h, w, c]"));
}

inline void require_same_shape(const char* op, const Shape& a, const Shape& b, const Text& path) {
  if (a == b) return;
  throw ShapeError(Message(op, "the operands have different shapes")
                       .fact("first", a)
                       .fact("second", b)
                       .fact("in", path));
}

/// An empty batch has no mean and no statistics; it is always a mistake of the caller's.
inline void require_elements(const char* op, const Shape& shape, const Text& path) {
  if (shape.elements() > 0) return;
  throw ShapeError(Message(op, "the input has no elements")
                       .fact("input", shape)
                       .fact("in", path)
                       .hint("is the batch empty?"));
}

}  // namespace tinynet::inline TINYNET_ABI::ops
