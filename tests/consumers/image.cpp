// tinynet::image brings stb's code along: this links only where it does.
#include <cstdio>

#include <tinynet/io/image.hpp>

int main() {
  const auto image = tinynet::Tensor<std::uint8_t>::full({2, 3, 1}, 7);
  const auto back = tinynet::io::decode_image(tinynet::io::encode_png(image), 0, "memory");
  std::printf("%s\n", to_string(back.shape()).c_str());
  return back(1, 2, 0) == 7 ? 0 : 1;
}
