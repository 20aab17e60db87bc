#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <tinynet/core/list.hpp>
#include <tinynet/core/random.hpp>
#include <tinynet/tensor/shape.hpp>

namespace tinynet::inline TINYNET_ABI {

struct Node;
struct Observer;

/// The leaves and operations of one forward pass, in order; `Variable::backward` walks it from its end
/// and frees it as it goes. A local of the training step.
class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;
  inline ~Tape();

  List<std::shared_ptr<Node>> nodes;
  Observer* observer = nullptr;  // of the forward pass, which sees the backward pass too
};

/// training: batch norm uses the statistics of the batch, dropout drops. evaluation: neither.
enum class Mode { training, evaluation };

/// What an op says about itself to observers and errors.
struct Op {
  const char* name;
  std::int64_t macs = 0;                              // multiply-accumulates of this call
  std::int64_t kernel = 1, stride = 1, dilation = 1;  // window in pixels, for receptive fields
  // Whether the output is written; false where it is an operand seen otherwise, or what another op wrote.
  bool stored = true;
};

/// One op, seen while a forward pass runs. Pointers are valid during the call alone.
struct Observation {
  struct Operand {
    const void* id = nullptr;  // where it lies: an op that reads what another wrote has its id
    Shape shape;
    const std::string* parameter = nullptr;  // the dotted name, for parameters
    std::size_t bytes = 0;
    bool wants_gradient = false;
  };
  const Op& op;
  const std::string& path;  // of the layer: the parameters' where there are any
  const List<Operand>& inputs;
  Operand output;
  bool (*all_finite)(const void*);  // called with `value`
  const void* value;                // the output tensor
};

/// Sees every op of a forward pass: summary, profile, the search for NaN. Where a tape runs it sees
/// the backward pass as well, so it has to outlive the tape.
struct Observer {
  virtual ~Observer() = default;
  /// An op has run.
  virtual void see(const Observation&) = 0;
  /// The op seen last is on the tape as this node.
  virtual void recorded(const Node&) {}
  virtual void backward_begins() {}
  /// The gradients that this node passes on have been computed.
  virtual void backward_ran(const Node&) {}
};

/// What a forward pass carries down to every layer and op. There are no global switches.
struct Context {
  Mode mode = Mode::evaluation;
  Tape* tape = nullptr;  // none: no gradient, and nothing is kept for one
  random::Key key = {};  // of this step
  Observer* observer = nullptr;
  bool recompute = false;   // a second forward: batch norm leaves its running statistics alone
  bool repeated = false;    // a pass without a tape that one with a tape will repeat, to the bit
  bool fuse = true;         // layers join convolution, batch norm and activation; ops never do
  std::string path = "";    // dotted, of the container being run
  std::uint64_t drawn = 0;  // random streams handed out in this pass

  static Context training(Tape& tape, random::Key key = {}) {
    return {.mode = Mode::training, .tape = &tape, .key = key};
  }
  static Context evaluation() { return {}; }

  bool is_training() const { return mode == Mode::training; }
  /// A stream for the next op that needs random numbers: a function of the step's key and of how
  /// many came before it in this pass.
  random::Key draw() { return key.fold(drawn++); }

  /// Appends a name to the path while it lives.
  class Scope {
   public:
    [[gnu::noinline]] Scope(Context& ctx, const std::string& name)
        : ctx_(ctx), length_(ctx.path.size()) {
      if (length_ > 0) ctx.path += '.';
      ctx.path += name;
    }
    [[gnu::noinline]] ~Scope() { ctx_.path.resize(length_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Context& ctx_;
    std::size_t length_;
  };
};

}  // namespace tinynet::inline TINYNET_ABI
