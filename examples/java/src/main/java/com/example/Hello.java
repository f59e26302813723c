package com.example;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A web server with Spring Boot. */
@SpringBootApplication
@RestController
public class Hello {
    public static void main(String[] arguments) {
        SpringApplication.run(Hello.class, arguments);
    }

    @GetMapping("/")
    String greet() {
        return "Hello from Java " + System.getProperty("java.version") + " on " + System.getenv("DYNO") + "!\n";
    }

    @GetMapping("/memory")
    String memory() {
        return Runtime.getRuntime().maxMemory() / 1048576 + "\n";
    }
}
