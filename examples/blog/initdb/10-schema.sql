CREATE TABLE posts (id INT AUTO_INCREMENT PRIMARY KEY, title VARCHAR(200) NOT NULL);
INSERT INTO posts (title) VALUES ('First post'), ('Ünïcode');
