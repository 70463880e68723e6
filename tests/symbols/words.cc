// Templates, lambdas, virtual functions and exceptions, for names, lines and inlined functions.
#include <algorithm>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace shapes {
struct Shape {
    virtual ~Shape() {}
    virtual int area(int x) const;
    int named(std::string const &name);
};
struct Square : virtual Shape {
    int area(int x) const override { return x * x; }
};
int Shape::area(int x) const { return x + 1; }
__attribute__((noinline)) int Shape::named(std::string const &name) { return name.size(); }
}  // namespace shapes

template <class T> __attribute__((noinline)) T most(std::vector<T> all) {
    std::sort(all.begin(), all.end(), [](T a, T b) { return a < b; });
    return all.back();
}

static __attribute__((noinline)) int thrower(int depth) {
    if (depth == 0) throw std::runtime_error("thrown");
    return thrower(depth - 1) + 1;
}

int main(int argc, char **) {
    std::map<std::string, int> words;
    for (int i = 0; i < 20; i++) words[std::to_string(i * 7)] = i;
    std::vector<int> values;
    for (auto &pair : words) values.push_back(pair.second);
    shapes::Square square;
    shapes::Shape *shape = &square;
    int sum = shape->area(argc) + shape->named("hello") + most(values);
    try {
        thrower(3);
    } catch (std::exception &) {
        sum++;
    }
    std::printf("%d\n", sum);
}
