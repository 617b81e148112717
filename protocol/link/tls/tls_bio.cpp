#include "protocol/link/tls/tls_bio.hpp"

#include <algorithm>
#include <cstring>

namespace muxsocks {

namespace {

int read_input(BIO* bio, char* out, std::size_t size, std::size_t* taken) {
    BIO_clear_retry_flags(bio);
    auto* const io = static_cast<tls_io*>(BIO_get_data(bio));
    if (io == nullptr || io->input.empty()) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *taken = std::min(size, io->input.size());
    std::memcpy(out, io->input.data(), *taken);
    io->input = io->input.subspan(*taken);
    return 1;
}

int write_output(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
    BIO_clear_retry_flags(bio);
    auto* const io = static_cast<tls_io*>(BIO_get_data(bio));
    if (io == nullptr) return 0;
    io->output.append({reinterpret_cast<const std::uint8_t*>(data), size});
    *written = size;
    return 1;
}

// OpenSSL asks for little but flushing, of which there is nothing to do.
long control(BIO*, int command, long, void*) {
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP ? 1 : 0;
}

int create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD* make_method() {
    BIO_METHOD* const method =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "muxsocks link");
    if (method == nullptr) return nullptr;
    BIO_meth_set_read_ex(method, read_input);
    BIO_meth_set_write_ex(method, write_output);
    BIO_meth_set_ctrl(method, control);
    BIO_meth_set_create(method, create);
    return method;
}

} // namespace

bio_ptr make_tls_bio() {
    static const BIO_METHOD* const method = make_method();
    return bio_ptr(method == nullptr ? nullptr : BIO_new(method));
}

tls_io_loan::tls_io_loan(BIO* bio, tls_io& io) : bio_(bio) { BIO_set_data(bio_, &io); }

tls_io_loan::~tls_io_loan() { BIO_set_data(bio_, nullptr); }

tls_io& lent_io(const SSL* ssl) { return *static_cast<tls_io*>(BIO_get_data(SSL_get_rbio(ssl))); }

} // namespace muxsocks
