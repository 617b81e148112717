#include "tests/tools/wan/tun.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace muxsocks::tools {
namespace {

[[noreturn]] void fail(const std::string& what) {
    const int error = errno;
    const std::string sentence = what + ": " + std::strerror(error);
    const bool denied =
        error == EPERM || error == EACCES || error == ENOENT || error == ENODEV || error == ENXIO;
    if (denied) throw not_permitted(sentence);
    throw std::runtime_error(sentence);
}

/// Keeps the calling thread in a network namespace.
class visit {
  public:
    explicit visit(const std::string& network)
        : home_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
        const int there = ::open(network.c_str(), O_RDONLY | O_CLOEXEC);
        if (there < 0) fail("cannot open the network namespace " + network);
        const int entered = ::setns(there, CLONE_NEWNET);
        const int error = errno;
        ::close(there);
        errno = error;
        if (entered != 0) fail("cannot enter the network namespace " + network);
    }
    ~visit() {
        ::setns(home_, CLONE_NEWNET);
        ::close(home_);
    }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;

  private:
    int home_;
};

} // namespace

tun_device::tun_device(const std::string& network, const std::string& name) {
    const visit inside(network);
    descriptor_ = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (descriptor_ < 0) fail("cannot open /dev/net/tun");
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    if (::ioctl(descriptor_, TUNSETIFF, &request) != 0) {
        const int error = errno;
        ::close(descriptor_);
        errno = error;
        fail("cannot make the TUN device " + name);
    }
}

tun_device::~tun_device() { ::close(descriptor_); }

bool tun_device::read(packet& into) {
    const ssize_t size = ::read(descriptor_, into.storage.data(), into.storage.size());
    if (size > 0) {
        into.size = static_cast<std::size_t>(size);
        return true;
    }
    if (size < 0 && errno != EAGAIN && errno != EINTR)
        throw std::runtime_error("the TUN device has gone, as its namespace has");
    return false;
}

bool tun_device::write(const packet& from) {
    return ::write(descriptor_, from.storage.data(), from.size) == static_cast<ssize_t>(from.size);
}

} // namespace muxsocks::tools
