/// \file
/// What the TLS engine costs beside the cipher itself: MB/s a core of encrypting and decrypting
/// batches of 128 KiB through two engines, against AES-128-GCM alone on blocks of 16 KiB in the
/// same run; and heap bytes of an idle engine. Times are CPU time of the thread, so a busy machine
/// disturbs them less.
///
///     tls_engine_benchmark [rounds, default 15]

#include "protocol/link/tls/tls_engine.hpp"
#include "tests/link/tls/tls_pair.hpp"

#include <openssl/crypto.h>

#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

using namespace muxsocks;
using namespace muxsocks::test;

namespace {

constexpr std::size_t batch_bytes = 131072;
constexpr int batches_a_round = 1000;

double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct figures {
    std::vector<double> megabytes_per_second;

    void add(double seconds) {
        megabytes_per_second.push_back(batches_a_round * static_cast<double>(batch_bytes) /
                                       seconds / 1e6);
    }
    double median() {
        std::sort(megabytes_per_second.begin(), megabytes_per_second.end());
        return megabytes_per_second[megabytes_per_second.size() / 2];
    }
    void print(const char* what, double reference) {
        std::printf("%-34s %7.0f MB/s  %6.3f s/GB  %5.2f of the cipher alone\n", what, median(),
                    1000 / median(), median() / reference);
    }
};

/// AES-128-GCM as a record layer would use it, and nothing around it.
double cipher_alone(const byte_vector& batch) {
    const std::uint8_t key[16] = {1}, iv[12] = {2};
    EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), nullptr, key, iv);
    byte_vector out(16384 + 16);
    const double begin = thread_seconds();
    for (int i = 0; i < batches_a_round; ++i)
        for (std::size_t at = 0; at < batch_bytes; at += 16384) {
            int size = 0;
            EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, iv);
            EVP_EncryptUpdate(context, out.data(), &size, batch.data() + at, 16384);
            EVP_EncryptFinal_ex(context, out.data() + size, &size);
            EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, out.data() + 16384);
        }
    const double seconds = thread_seconds() - begin;
    EVP_CIPHER_CTX_free(context);
    return seconds;
}

void measure_speed(const tls_world& world, int rounds) {
    tls_pair pair(world);
    pair.handshake();
    const byte_vector batch = noise(batch_bytes, 1);
    byte_vector plain(batch_bytes + 2 * tls_plaintext_held_max);
    figures cipher, encrypt, decrypt;
    for (int round = 0; round < rounds; ++round) {
        cipher.add(cipher_alone(batch));
        double encrypting = 0;
        double decrypting = 0;
        for (int i = 0; i < batches_a_round; ++i) {
            const double begin = thread_seconds();
            if (pair.client.engine.encrypt(batch, pair.client.out)) std::abort();
            const double middle = thread_seconds();
            const auto result =
                pair.server.engine.decrypt(pair.client.out.view(), plain, pair.server.out);
            decrypting += thread_seconds() - middle;
            encrypting += middle - begin;
            if (result.plaintext != batch_bytes ||
                !std::equal(batch.begin(), batch.end(), plain.begin()))
                std::abort();
            pair.client.out.clear();
        }
        encrypt.add(encrypting);
        decrypt.add(decrypting);
    }
    const double reference = cipher.median();
    std::printf("%s, %s, medians of %d rounds of %d MB\n", OpenSSL_version(OPENSSL_VERSION),
                pair.client.engine.cipher().c_str(), rounds,
                static_cast<int>(batches_a_round * batch_bytes / 1000000));
    cipher.print("AES-128-GCM, blocks of 16 KiB", reference);
    encrypt.print("encrypt, batches of 128 KiB", reference);
    decrypt.print("decrypt, batches of 128 KiB", reference);
}

void measure_memory(const tls_world& world) {
    constexpr std::size_t count = 1000;
    const tls_context client_context(world.client_settings());
    const tls_context server_context(world.server_settings());
    std::vector<std::optional<tls_engine>> clients(count), servers(count);
    const byte_vector batch = noise(batch_bytes, 2);
    const auto connect = [&](std::size_t i) {
        tls_peer client{tls_engine(client_context)}, server{tls_engine(server_context)};
        if (client.engine.start_handshake(client.out) || server.engine.start_handshake(server.out))
            std::abort();
        exchange(client, server);
        // Both have carried data once, so what is left is what idling costs.
        if (client.engine.encrypt(batch, client.out) || server.engine.encrypt(batch, server.out))
            std::abort();
        exchange(client, server);
        clients[i].emplace(std::move(client.engine));
        servers[i].emplace(std::move(server.engine));
    };
    const auto heap = [] { return static_cast<double>(mallinfo2().uordblks); };
    connect(0);
    const double before = heap();
    for (std::size_t i = 1; i < count; ++i)
        connect(i);
    const double both = heap();
    for (std::size_t i = 1; i < count; ++i)
        clients[i].reset();
    const double servers_only = heap();
    std::printf("idle engine on the heap: client %.0f bytes, server %.0f bytes (and %zu itself)\n",
                (both - servers_only) / (count - 1), (servers_only - before) / (count - 1),
                sizeof(tls_engine));
}

} // namespace

int main(int argc, char** argv) {
    const tls_world world;
    measure_memory(world);
    measure_speed(world, argc > 1 ? std::max(1, std::atoi(argv[1])) : 15);
    return 0;
}
