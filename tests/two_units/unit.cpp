// One of the units that a program is linked from. Each includes every header of the library and
// instantiates the same templates; UNIT names its namespace.
#include <string>
#include <vector>

#include "everything.hpp"

namespace UNIT {

std::string abi() { return tinynet::abi; }

double work() {
  std::vector<double> squares(100);
  tinynet::parallel_for(100, [&](auto i) { squares[i] = double(i) * double(i); });
  double sum = 0;
  for (const double square : squares) sum += square;
  return sum;
}

}  // namespace UNIT
